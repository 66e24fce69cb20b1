# ruff: noqa: E501 - the lines are what tables and messages look like
"""What postmap, postalias and newaliases are asked in the recorded cases.

A case is a list of steps in one folder: `File` writes a file, `Run` runs a command. Answers stand in
`recorded.json`, as the real programs gave them; `record.py` records them anew.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    name: str
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True)
class Run:
    words: list[str]
    stdin: bytes = b""


def run(line: str, stdin: bytes = b"") -> Run:
    return Run(line.split(" "), stdin)


def asks(table: str, *keys: str) -> list[Run]:
    return [Run(["postmap", "-q", key, table]) for key in keys]


MESSAGES = {
    "plain": b"Received: by x\n\twith y\nSubject: hi\n\nbody\n> line\n",
    "no_header": b"From foo Mon\nSubject: hi\n\nbody\n",
    "broken_header": b"Subject: x\nNo header here\nB: c\n\nbody\n",
    "mixed": b'Subject: hi\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="b"\n\npre\n--b\nContent-Type: text/plain'
    b"\n\ntext\n--b\nContent-Type: message/rfc822\n\nSubject: inner\nTo: x\n\ninner body\n--b--\nepilogue\n",
    "nested": b"MIME-Version: 1.0\nContent-Type: multipart/mixed;\n boundary=x\n\n--x\nContent-Type: text/plain\n\naGVs\n--x\n"
    b'Content-Type: multipart/alternative; boundary="y z"\n\n--y z\n\none\n--y z--\nafter\n--x--\npost\n',
    "digest": b"Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: in digest\n\nbody\n--a\nX: y\n--a--\nX: after\n",
    "odd": b'Content-Type: multipart/mixed; BOUNDARY = "a\\"b" ; x=y\n\n--a"b\nContent-Type: multipart/mixed; boundary=c\n'
    b'bad line\n--c\nK: v\n\n--a"b\nQ: r\n s\n--a"bzzz\nT: u\n\n--d\n',
}

CASES: dict[str, list[File | Run]] = {
    "source_format": [
        File("t", b'# c\nFoo\tbar baz\nfoo  dup\n"a b" quoted\n  cont here\nnovalue\n\nx: y\n:colon v\n'),
        run("postmap hash:t"),
        run("postmap lmdb:t"),
        run("postmap -s lmdb:t"),
        *asks("hash:t", "FOO", '"a b"', "a b", "x:", "nope", ""),
        run("postmap -q - hash:t", b"x:\nzz\nFoo\n\n"),
    ],
    "odd_lines": [
        File("u", b'  lead v\n"a\\"b" v2\n"unterminated foo\nk1\n  v1\n#c\n\n  v1b\nk \xff\n\xff v\n'),
        run("postmap lmdb:u"),
        run("postmap -s lmdb:u"),
        File("v", b"novalue\n#c\n\nnov2\n# c\n  #c2\n   \nk v\r\nk2\r\n v2\r\nlast"),
        run("postmap lmdb:v"),
        run("postmap -s lmdb:v"),
    ],
    "update": [
        File("t", b"a 1\nb 2\n"),
        run("postmap hash:t"),
        run("postmap -d a hash:t"),
        run("postmap -d a hash:t"),
        run("postmap -d - hash:t", b"b\nq\n"),
        run("postmap -s hash:t"),
        run("postmap -i hash:t", b"c 3\n"),
        run("postmap -i hash:t", b"c 4\n"),
        run("postmap -q c hash:t"),
        run("postmap -ir hash:t", b"c 4\n"),
        run("postmap -q c hash:t"),
        run("postmap -iw hash:t", b"c 5\n"),
        run("postmap -q c hash:t"),
        run("postmap -i lmdb:new", b"x y\n"),
        run("postmap -i lmdb:new", b"x z\n"),
        run("postmap -ir lmdb:new", b"x w\nq r\n"),
        run("postmap -s lmdb:new"),
        run("postmap -d x lmdb:new"),
        run("postmap -s lmdb:new"),
        run("postmap -n lmdb:t"),
        run("postmap -s lmdb:t"),
        run("postmap -q a lmdb:t"),
        run("postmap -d a lmdb:t"),
        run("postmap -s lmdb:t"),
    ],
    "wrong_command_lines": [
        File("t", b"a 1\nb 2\n"),
        run("postmap"),
        run("postmap -Z"),
        run("postmap -q"),
        run("postmap -q a"),
        run("postmap -q a -q b hash:t"),
        run("postmap -s -q a hash:t"),
        run("postmap -d x -q a hash:t"),
        run("postmap -q a -h hash:t"),
        run("postmap -b hash:t"),
        run("postmap -m hash:t"),
        run("postmap hash:t -q a"),
        run("postmap hash:"),
        run("postmap -q a :x"),
        run("postmap -q x hash:nofile"),
        run("postmap -q x lmdb:nofile"),
        run("postmap -q x regexp:nofile"),
        run("postmap -q x nosuch:nofile"),
        run("postmap hash:nofile"),
        run("postmap regexp:nofile"),
        run("postmap regexp:t"),
        run("postmap texthash:t"),
        run("postmap -d b regexp:t"),
        run("postmap -s static:x"),
        run("postmap -q x fail:z"),
        run("postmap -i hash:/nonexistent/x", b"a b\n"),
        run("postalias"),
        run("postalias -F hash:t"),
        run("postalias hash:none"),
        run("newaliases too many"),
    ],
    "case_folding": [
        File("c", b"AbC d\n"),
        run("postmap -f lmdb:c"),
        run("postmap -s lmdb:c"),
        run("postmap -q AbC lmdb:c"),
        run("postmap -fq AbC lmdb:c"),
        run("postmap -fd AbC lmdb:c"),
        run("postmap lmdb:c"),
        run("postmap -q ABC lmdb:c"),
        run("postmap -fq ABC lmdb:c"),
    ],
    "files_as_values": [
        File("t", b"a 1\nb 2\n"),
        File("u", b""),
        File("F", b"a t\nb t u\n c x\nd t,t\ne nofile\n"),
        run("postmap -F lmdb:F"),
        run("postmap -s lmdb:F"),
        run("postmap -sF lmdb:F"),
        run("postmap -Fq a lmdb:F"),
        run("postmap -Fq b lmdb:F"),
        run("postmap lmdb:t"),
        run("postmap -Fq a lmdb:t"),
    ],
    "aliases": [
        File(
            "al",
            b'Foo: a, b\nfoo: dup\n"Q R": x\nbad line\nz:\n  c1,\n  |"/x"\ny:\nroot@x: z\n a:b: c\n"x" y: v\n(com) w: e\n',
        ),
        run("postalias lmdb:al"),
        run("postalias -s lmdb:al"),
        run("postalias -q FOO lmdb:al"),
        run("postalias -q - lmdb:al", b"X\nfoo\n"),
        run("postalias -d foo lmdb:al"),
        run("postalias -q foo lmdb:al"),
        run("postalias -i lmdb:al", b"k: v\n"),
        run("postmap -s lmdb:al"),
    ],
    "alias_values": [
        File(
            "al",
            b'v1: |"prog  arg", a,b   c\nv2: "|/usr/bin/x  a  b", "a b"@c\nv3::include:/x/y\nv4 : "\\"q\\" x"\n'
            b'v5: a (comm) <b@c>\nv6: /file/name, "/file  x",\nv7: "unterminated\nA.B: C.D@E.F\na b: c\n'
            b"v9: [1.2.3.4], a@[1.2.3.4]; x\nv10: x:y, <>\n#c\n  : x\nv11: \\a\\ b\nv12: a\r\nr: \\root, user\n"
            b"w: a @ b . c\nv: user+ext@d(c)\ns: A <a@b>, :include: /x\np: ! foo\nh: a,,b,\ng: ,a\ne: a\\,b\n",
        ),
        run("postalias lmdb:al"),
        run("postalias -s lmdb:al"),
    ],
    "newaliases": [
        run("newaliases"),
        File("aliases", b"root: admin\n"),
        run("newaliases"),
        run("postalias -q root hash:aliases"),
        File("aliases", b"bad\nx: \n"),
        run("newaliases"),
    ],
    "regexp_warnings": [
        File(
            "r",
            b"/a(.)/ x$1y$$ ${1}z\nif /b/\n/bc/ in\nendif\nif !/q/\nendif foo\nendif\n/unclosed\n!/z/ neg$1\n/x/q flag\n"
            b"/(/ bad\n/k/\n/m/ $9 foo\nfoo bar\nif /r/ text\n! /a/ x\n!\nif\n!endif\n/w/s d\n/y/ ${1\n/y/ ${}\n/y/ a$\n"
            b"/x*/ any\n/[[:foo:]]/ k\n/[z-a]/ k\n/a{2,1}/ k\n/*a/ k\n/[a/ k\n/a{1/ k\n/a{}/ k\n/\\2(a)/ k\n/[[.aa.]]/ k\n",
        ),
        *asks("regexp:r", "abc", "zzz"),
    ],
    "pcre_warnings": [
        File("r", b"/unclosed\n/o/Xi obsolete\n!/z/ neg$1\n/x/q flag\n/k/\n/m/ $9 foo\nfoo bar\nif /r/ text\n/w/s d\nendif\nendif\n"),
        *asks("pcre:r", "abc", "zzz", "w", "O"),
    ],
    "regexp_matches": [
        File(
            "r",
            b"if /b/\n/bc/ in\nendif\n!/[a-z]/ none\n/^(a|ab)(c|bcd)(d*)$/ [$1][$2][$3]\n/(j)(k)?/ [$1][$2]\n"
            b"/l+/ L\n/^(.*)@(.*)$/ $2!$1\n/[[:space:]]/ sp\n/[^]x-z]q/ Q\n/^$/ empty\n/(foo|foobar)(bar)?/ $1-$2\n",
        ),
        *asks(
            "regexp:r",
            "abc",
            "abcd",
            "bc",
            "123",
            "j",
            "jk",
            "ll",
            "u@d",
            "z q",
            "q",
            "xq",
            "yq",
            "wq",
            "foobar",
            "A@B",
        ),
        *asks(
            "pcre:r", "abc", "abcd", "bc", "123", "j", "jk", "ll", "u@d", "z q", "q", "xq", "yq", "wq", "foobar", "A@B"
        ),
    ],
    "pattern_flags": [
        File(
            "p",
            b"/^x.y$/ dot\n/^x$/m line\n/A/i case\n/a b/x ext\n/a{2}/ two\n/\xc3\xa9/ acute\n/t\\/u/ slash\n/(a)?(v)/ <$1><$2>\n",
        ),
        *asks("pcre:p", "x\ny", "a\nx\nb", "A", "a", "ab", "aa", "\u00c9", "\u00e9", "t/u", "v", "av"),
        *asks("regexp:p", "x\ny", "a\nx\nb", "A", "a", "aa", "\u00e9", "t/u", "v", "av"),
        File("q", b"/^(a+)$/U $1\n/z$/E end\n/q/A anch\n/\\d+/ dig\n/(?i)k/ K\n/\\bword\\b/ W\n/w$/ weol\n"),
        *asks("pcre:q", "aaa", "z", "z\n", "xq", "qx", "123", "K", "a word b", "w\n"),
    ],
    "cidr": [
        File(
            "c",
            b"10.0.0.0/8 a\n!1.2.3.0/24 n\nif 1.2.3.0/24\nif !1.2.3.4\n1.2.3.5 five\n0.0.0.0/0 rest\nendif\n1.2.3.4 in\n"
            b"endif\n::1 six\n[2001:db8::]/32 dd\n",
        ),
        *asks(
            "cidr:c",
            "10.1.1.1",
            "1.2.3.4",
            "1.2.3.5",
            "1.2.3.6",
            "::1",
            "2001:DB8::5",
            "foo",
            "9.9.9.9",
            "[::1]",
            "10.1",
        ),
        File(
            "d",
            b"10.0.0.1/8 b\nendif\nfoo bar\n1.2.3.4\n1.2.3.4/33 x\n300.1.1.1 x\nfoo/8 x\n[::1 y\n1::/129 z\n10/8 z\n1.2.3.4/ z\n"
            b"1.2.3.4/x z\n010.1.1.1 z\n[::1]x y\n2001:db8::1/32 v\n!!1.1.1.1 d\n! 2.2.2.2 e\nif\nif !\nif 1.2.3.0/24\n",
        ),
        *asks("cidr:d", "1.1.1.1", "2.2.2.2", "1.2.3.4"),
    ],
    "other_types": [
        *asks("inline:{x=y, {z = a b}}", "x", "X", "z", "q"),
        *asks("inline:{ x=1, x=2 }", "x"),
        *[Run(["postmap", "-q", "x", spec]) for spec in ("inline:{}", "inline:{w}", "inline:w=x", "inline:{=x}")],
        *asks("static:foo bar", "x"),
        *asks("static:{ foo bar }", "x"),
        *asks("static:", "x"),
        *asks("unix:passwd.byname", "root", "ROOT", "no.such.user"),
        *asks("unix:group.byname", "daemon"),
        *asks("unix:x", "root"),
        *asks("regexp:{ {/x/ foo$1 bar}, {/y/ z}}", "y"),
        *asks("cidr:{{1.2.3.4 x}}", "1.2.3.4"),
        *asks("pipemap:{inline:{x=y},inline:{y=z}}", "x", "y"),
        *asks("unionmap:{inline:{x=y},static:q}", "x", "z"),
        *asks("unionmap:{inline:{x=y},inline:{a=b}}", "zz"),
        *asks("unionmap:{fail:x,static:q}", "x"),
        *asks("unionmap:inline:{x=y}", "x"),
        *asks("randmap:{a}", "x"),
    ],
    "braces": [
        *[
            Run(["postmap", "-q", "k", spec])
            for spec in (
                "unionmap:{ static:{a b}, inline:{ {k = v} } }",
                "unionmap:{}",
                "unionmap:{ }",
                "unionmap:{static:a",
                "unionmap:{static:b fail:x}",
                "unionmap:{nosuch:x}",
                "unionmap:{hash:/nosuch}",
                "unionmap:{static}",
                "unionmap:{static:a}x",
                "unionmap:{regexp:{{/^k/ a}}, regexp:{{/x/ b}}}",
                "pipemap:{inline:{k=v},fail:x}",
                "pipemap:{inline:{z=v},fail:x}",
                "pipemap:{}",
                "pipemap:{static:}",
                "pipemap:{inline:{k={}},static:x}",
                "pipemap:{static:x fail}",
                "pipemap:{unionmap:{static:a,inline:{k=b}},inline:{{a,b=both}}}",
                "randmap:{a b",
                "randmap:{}",
                "randmap:{{a b}}",
                "randmap:{ { a b } }",
                "randmap:x",
                "randmap:{a}x",
                "randmap:{{a}x}",
                "randmap:{{}}",
                "environ:",
                "environ:x",
                "internal:x",
                "static:{a b",
                "static:{}",
                "static: x",
                "static:{a b}c",
                "static:{{a b}}",
                "inline:{k=v",
                "inline:{k=}",
                "inline:{k}",
                "inline:{ k = v , j = w }",
                "inline:{ {k = a b, c}, j=w }",
                "inline:{k=v}x",
                "inline:{{k=v} }",
                "inline:{{k=v}x }",
                "inline:{k=v k=w}",
                "inline:{{k={a b}}}",
                "tcp:127.0.0.1",
                "socketmap:x",
                "socketmap:foo:bar:x",
                "socketmap:unix:/tmp/x",
                "socketmap:unix:/nonexistent/s:n",
                "socketmap:inet:127.0.0.1:nm",
            )
        ],
    ],
    "operations": [
        *[
            run(f"postmap {flags}{spec}")
            for spec in (
                "unionmap:{static:a}",
                "randmap:{a}",
                "fail:x",
                "internal:x",
                "environ:x",
                "tcp:x:25",
                "socketmap:inet:a:25:b",
                "cidr:/dev/null",
                "pcre:/dev/null",
                "inline:{a=b}",
                "texthash:/dev/null",
                "static:x",
                "unix:passwd.byname",
            )
            for flags in ("", "-i ", "-d k ", "-s ")
        ],
    ],
    "not_utf8": [
        File("all", b"/^(.*)$/ <$1>\n"),
        run("postmap -q - regexp:all", b"\xff\n"),
        run("postmap -uq - regexp:all", b"\xff\n"),
        run("postmap -bq - regexp:all", b"\n\xff\n"),
        run("postmap -bUq - regexp:all", b"\n\xff\n"),
        run("postmap -u -i lmdb:x", b"x \xff\n"),
        run("postmap -q x lmdb:x"),
        run("postmap -uq x lmdb:x"),
    ],
    **{
        f"message_{name}": [
            File("all", b"/^(.*)$/ <$1>\n"),
            *[run(f"postmap {flags} -q - regexp:all", message) for flags in ("-h", "-b", "-hb", "-hm", "-bm", "-hbm")],
        ]
        for name, message in MESSAGES.items()
    },
    "files_in_other_types": [
        File("one", b"content\n"),
        File("t", b"a one\nb one, none\nc one,one\n"),
        *(
            Run(["postmap", "-F", "-q", key, table])
            for key, table in (
                ("a", "texthash:t"),
                ("b", "texthash:t"),
                ("c", "texthash:t"),
                ("a", "inline:{a=one}"),
                ("a", "inline:{{a=one, one}}"),
                ("a", "inline:{a=none}"),
                ("a", "inline:{a}"),
                ("a", "static:{one one}"),
                ("a", "static:none"),
                ("a", "randmap:{one}"),
                ("a", "unionmap:{static:one}"),
            )
        ),
        File("r", b"/a/ one\n/b/ none\n/(c)/ $1\n"),
        run("postmap -F -q a regexp:r"),
        run("postmap -F -q c pcre:r"),
        File("n", b"192.0.2.1 one\n192.0.2.2 none\n"),
        run("postmap -F -q 192.0.2.1 cidr:n"),
    ],
    "texthash_aliases": [
        File("t", b"root ana\n"),
        run("postalias -q root texthash:t"),
    ],
    "begins_with_space": [
        File("t", b" one line\n\tand more of the same\nk v\n"),
        run("postmap lmdb:t"),
        File("short", b" k v\n"),
        run("postalias lmdb:short"),
    ],
    "cidr_lines": [
        File("open", b"if 192.0.2.0/24\n192.0.2.1 a\nendif x\n::1 b\nendif\n"),
        *asks("cidr:open", "::1", "192.0.2.1"),
        File("words", b"IF::1\n192.0.2.1 a\nENDIF\nif!192.0.2.1\n::1 b\nENDIF.\nendif ::1 c\n"),
        *asks("cidr:words", "::1", "192.0.2.1"),
        File(
            "odd",
            b"if!\n!\n! a\n192.0.2.1\n192.0.2.1/24\n192.0.2.1-5 x\n/ \nif 192.0.2.1 ! x\nif-192.0.2.1 x\nif1.2.3.4 x\n",
        ),
        *asks("cidr:odd", "192.0.2.1"),
    ],
    "rules_in_braces": [
        Run(["postmap", "-q", "a", f"{kind}:{rules}"])
        for kind in ("regexp", "pcre", "cidr", "static", "inline")
        for rules in ("{", "{x}", "{{x}", "{{x}}y", "{ {x}{y} }", "{{x} y}", "{{}}", "{,}")
    ]
    + [Run(["postmap", "-q", "a", "texthash:{{a b}}"]), Run(["postmap", "-q", "a", "texthash:none"])],
    "bad_replacements": [
        step
        for text in (b"$0", b"${00}", b"${01}$(2)", b"$a", b"$3", b"${1", b"${-1}", b"$1a")
        for step in (
            File("r", b"/(a)(b)/ " + text + b"\nendif x\n/x/\xc3 y\n"),
            run("postmap -q ab regexp:r"),
            run("postmap -q ab pcre:r"),
        )
    ],
}
