"""pam(3), through ctypes: is this the user's password, and may the account be used now?

Blocks for as long as the modules take; called in a process of its own (pam.py).
"""

from __future__ import annotations

import ctypes
import ctypes.util
from dataclasses import dataclass
from functools import cache
from typing import Any

_PROMPT_ECHO_OFF, _PROMPT_ECHO_ON = 1, 2
_SUCCESS, _CONV_ERR, _BUF_ERR = 0, 19, 5
_RHOST, _FAIL_DELAY = 4, 10
_SILENT, _DISALLOW_NULL_TOKEN = 0x8000, 0x1
_MOST_PROMPTS = 32
_LATER = frozenset({1, 2, 3, 4, 5, 9, 19, 26, 28})
"""open, symbol, service, system and buffer errors, directory unavailable, conversation, abort, no such module.
security/_pam_types.h"""
_PR_SET_DUMPABLE = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    good: bool
    later: bool = False
    reason: str = ""


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class _Response(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


_Converse = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(_Message)),
    ctypes.POINTER(ctypes.POINTER(_Response)),
    ctypes.c_void_p,
)
_Delay = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)


class _Conversation(ctypes.Structure):
    _fields_ = (("converse", _Converse), ("appdata", ctypes.c_void_p))


@cache
def _libraries() -> tuple[Any, Any] | None:
    """(libpam, libc); None where there is no PAM."""
    for name in ("libpam.so.0", ctypes.util.find_library("pam")):
        if not name:
            continue
        try:
            pam = ctypes.CDLL(name)
        except OSError:
            continue
        handle = ctypes.c_void_p
        pam.pam_start.argtypes = (
            ctypes.c_char_p,
            ctypes.c_char_p,
            ctypes.POINTER(_Conversation),
            ctypes.POINTER(handle),
        )
        pam.pam_set_item.argtypes = (handle, ctypes.c_int, ctypes.c_void_p)
        pam.pam_authenticate.argtypes = pam.pam_acct_mgmt.argtypes = pam.pam_end.argtypes = (handle, ctypes.c_int)
        pam.pam_strerror.argtypes = (handle, ctypes.c_int)
        pam.pam_strerror.restype = ctypes.c_char_p
        libc = ctypes.CDLL(None)
        libc.calloc.argtypes, libc.calloc.restype = (ctypes.c_size_t, ctypes.c_size_t), ctypes.c_void_p
        libc.strdup.argtypes, libc.strdup.restype = (ctypes.c_char_p,), ctypes.c_void_p
        return pam, libc
    return None


def load() -> bool:
    """Find the library now. False if there is none."""
    return _libraries() is not None


def hide_memory() -> None:
    """Let no other process of this user read ours, and leave no core file."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def ask(service: bytes | str, user: bytes, password: bytes, client: bytes = b"", *, folder: bytes = b"") -> Verdict:
    """`client`: its address, for the modules' own log. `folder`: where services are configured, if not in pam.d."""
    libraries = _libraries()
    if libraries is None:
        return Verdict(False, later=True, reason="no libpam.so.0 was found: install libpam0g")
    pam, libc = libraries
    name = service.encode() if isinstance(service, str) else service

    def converse(prompts: int, messages: Any, responses: Any, _: Any) -> int:
        """The module asks; the answers belong to it, and it frees them."""
        if not 0 < prompts <= _MOST_PROMPTS:
            return _CONV_ERR
        place = libc.calloc(prompts, ctypes.sizeof(_Response))
        if not place:
            return _BUF_ERR
        answers = ctypes.cast(place, ctypes.POINTER(_Response))
        for number in range(prompts):
            style = messages[number].contents.style
            if style == _PROMPT_ECHO_OFF:
                answers[number].text = libc.strdup(password)
            elif style == _PROMPT_ECHO_ON:
                answers[number].text = libc.strdup(user)
        responses[0] = answers
        return _SUCCESS

    # Both must live as long as the handle.
    conversation = _Conversation(_Converse(converse), None)
    no_delay = _Delay(lambda status, microseconds, appdata: None)
    handle = ctypes.c_void_p()
    if folder:
        status = pam.pam_start_confdir(name, user, ctypes.byref(conversation), folder, ctypes.byref(handle))
    else:
        status = pam.pam_start(name, user, ctypes.byref(conversation), ctypes.byref(handle))
    if status != _SUCCESS:
        return Verdict(False, later=True, reason=f"pam_start: error {status}")
    try:
        pam.pam_set_item(handle, _FAIL_DELAY, ctypes.cast(no_delay, ctypes.c_void_p))
        if client:
            pam.pam_set_item(handle, _RHOST, ctypes.cast(ctypes.c_char_p(client), ctypes.c_void_p))
        status = pam.pam_authenticate(handle, _SILENT | _DISALLOW_NULL_TOKEN)
        if status == _SUCCESS:
            status = pam.pam_acct_mgmt(handle, _SILENT | _DISALLOW_NULL_TOKEN)
        reason = (pam.pam_strerror(handle, status) or b"").decode("utf-8", "replace")
    finally:
        pam.pam_end(handle, status)
    return Verdict(status == _SUCCESS, later=status in _LATER, reason=reason)
