import pytest

from estafeta.daemons.local.destinations import ADDRESS, COMMAND, FILE, INCLUDE, parse, parse_file


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ana, bea+sub, x@y.example", [(ADDRESS, "ana"), (ADDRESS, "bea+sub"), (ADDRESS, "x@y.example")]),
        ('"|/bin/a b, c", /file, :include:/x/y', [(COMMAND, "/bin/a b, c"), (FILE, "/file"), (INCLUDE, "/x/y")]),
        ('|/bin/false -x "y z", ana', [(COMMAND, '/bin/false -x "y z"'), (ADDRESS, "ana")]),
        (r'"|cmd \"a, b\" c"', [(COMMAND, 'cmd "a, b" c')]),
        ('":include:/a b", "/c d"', [(INCLUDE, "/a b"), (FILE, "/c d")]),
        (r"\ana+x, \self", [(ADDRESS, "ana+x"), (ADDRESS, "self")]),
        ('"odd user", "a,b"@c.example', [(ADDRESS, "odd user"), (ADDRESS, "a,b@c.example")]),
        ("friends: ana, bea;", [(ADDRESS, "ana"), (ADDRESS, "bea")]),
        ("(note) ana (more, here), Bea <bea>", [(ADDRESS, "ana"), (ADDRESS, "bea")]),
        ("/o=org/s=name@gw.example", [(ADDRESS, "/o=org/s=name@gw.example")]),
        ("ana,,bea,", [(ADDRESS, "ana"), (ADDRESS, "bea")]),
        ("", []),
    ],
)
def test_right_hand_sides(text: str, found: list[tuple[str, str]]) -> None:
    assert [(each.kind, each.value) for each in parse(text)] == found


def test_a_file_has_one_right_hand_side_a_line_and_comments() -> None:
    found = parse_file("# no\nana, bea\r\n\n/file\n :include:/x\n")
    assert [(each.kind, each.value) for each in found] == [
        (ADDRESS, "ana"),
        (ADDRESS, "bea"),
        (FILE, "/file"),
        (INCLUDE, "/x"),
    ]


@pytest.mark.timeout(10)
@pytest.mark.parametrize("piece", ['"', "(", "<", "\\", '("', "(((", ",(", "<("])
def test_hostile_text_takes_no_more_than_its_length(piece: str) -> None:
    assert len(parse(piece * 20_000)) <= 20_000
