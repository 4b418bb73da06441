"""What frames mean, by the grammar of the request they answer (pure twin).

Strategy: a header is checked as soon as it is complete, before anything is allocated for its body:
magic, opcode and opaque prove that it answers the request at the head, and its lengths are believed
within limits only. The key, where a reply has one, is compared before the value is read. How bytes
become frames is ``_parser``'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cenote.protocol import frames as f
from cenote.protocol import grammar as g
from cenote.protocol._reader import MORE, Progress, ReplyReader, text_of
from cenote.protocol.replies import BatchReply, SaslReply, Status

if TYPE_CHECKING:
    from cenote.errors import CenoteError
    from cenote.protocol._request import Request

_ITEMS: Final = frozenset({g.FRAME_GET, g.FRAME_GETS, g.FRAME_GET_MANY, g.FRAME_GETS_MANY})
_RUNS: Final = frozenset({g.FRAME_GET_MANY, g.FRAME_GETS_MANY, g.FRAME_QUIET})
_WITH_CAS: Final = frozenset({g.FRAME_GETS, g.FRAME_GETS_MANY})
_FENCE: Final = -1  # the place of the frame that closes a run

Header = tuple[int, int, int, int, int, int, int, int, int]


class FrameReader(ReplyReader):
    """The frame being read, of the reply at the head of the queue."""

    __slots__ = ("_frame", "_frame_extras", "_frame_key", "_place", "_stats")

    def __init__(self, max_value: int) -> None:
        super().__init__(max_value)
        self._frame: Header = f.HEADER.unpack(bytes(f.HEADER_SIZE))
        self._frame_extras = b""
        self._frame_key = b""
        self._place = 0  # which item of a run it answers
        self._stats: dict[str, str] = {}

    def _take_header(self, head: Request, data: bytes) -> Header:
        """Prove that a header answers the request at the head, and that its lengths can be true."""
        self._verb = head.verb
        self._frame = frame = f.HEADER.unpack(data)
        magic, opcode, key_size, extras_size, data_type, _, size, opaque, _ = frame
        if magic != f.ANSWERS or data_type:
            raise self._broken("what is no frame of the binary protocol", data)
        place = (opaque - int.from_bytes(head.payload[12:16])) & 0xFFFFFFFF
        if head.kind not in _RUNS:
            proved = place == 0 and opcode == head.payload[1]
        elif opcode == f.NOOP:
            proved = place == head.count
            place = _FENCE
        else:  # quiet commands are answered in their order, each once
            proved = self._index <= place < head.count and opcode == head.payload[1]
            self._index = place + 1
        if not proved:
            raise self._broken("a frame that does not answer this command", data)
        self._place = place
        if key_size + extras_size > size:
            raise self._broken("a frame shorter than its parts", data)
        if size - key_size - extras_size > self._limit(head):
            raise self._broken("a frame longer than such a reply can be", data)
        return frame

    def _limit(self, head: Request) -> int:
        """Return how many bytes of value a frame may have."""
        status = self._frame[5]
        if head.kind in _ITEMS and status == f.SUCCESS:
            return self._max_value
        return g.MAX_TEXT_LINE

    def _take_parts(self, head: Request, data: bytes) -> None:
        """Take the extras and the key of the frame; the value, if any, is due."""
        _, _, key_size, extras_size, _, status, size, _, _ = self._frame
        self._frame_extras = data[:extras_size]
        self._frame_key = key = data[extras_size:]
        if head.kind in _ITEMS and self._place != _FENCE:
            self._check_key(head, key, status)
        self._due = size - key_size - extras_size
        self._open = True

    def _check_key(self, head: Request, key: bytes, status: int) -> None:
        asked = head.key if head.keys is None else head.keys[self._place]
        if status == f.SUCCESS:
            if key != asked or len(self._frame_extras) != 4:
                raise self._broken("another key's item", key)
        elif key not in (b"", asked):
            raise self._broken("another key's reply", key)

    def _take_frame(self, head: Request, value: bytes) -> Progress:
        """Read a frame whose value is complete."""
        self._due = -1
        status = self._frame[5]
        if head.kind in _RUNS:
            if self._place == _FENCE:
                return self._fence(head, status, value)
            return self._run_frame(head, status, value)
        if head.kind == g.FRAME_STATS:
            return self._stat_frame(head, status, value)
        if head.kind == g.FRAME_SASL and status in f.SASL_STEPS:
            return SaslReply(f.SASL_STEPS[status], value)
        if status == f.SUCCESS:
            return self._success(head, value)
        return self._failure(head, status, value)

    def _success(self, head: Request, value: bytes) -> Progress:
        kind = head.kind
        if kind in (g.FRAME_GET, g.FRAME_GETS):
            return self._item_of(head, value)
        if kind == g.FRAME_NUMBER:
            if len(value) != 8:
                raise self._broken("what is no number", value)
            return int.from_bytes(value)
        if kind == g.FRAME_TEXT:
            return text_of(value)
        if value:
            raise self._broken("a value where there is none", value)
        return self._outcome(head, f.SUCCESS)

    def _item_of(self, head: Request, value: bytes) -> tuple[bytes, int, int]:
        cas = self._frame[8] if head.kind in _WITH_CAS else 0
        return value, int.from_bytes(self._frame_extras), cas

    def _failure(self, head: Request, status: int, value: bytes) -> Progress:
        kind = head.kind
        if status == f.KEY_ENOENT and kind in (g.FRAME_GET, g.FRAME_GETS, g.FRAME_NUMBER):
            return None
        outcome = self._outcome(head, status)
        return self._refused(head, status, value) if outcome is None else outcome

    def _outcome(self, head: Request, status: int) -> Status | None:
        if head.kind == g.FRAME_CAS:
            return f.CAS_OUTCOMES.get(status)
        if head.kind not in (g.FRAME_STATUS, g.FRAME_QUIET):
            return None
        return f.OUTCOMES.get(head.payload[1], {}).get(status)

    def _refused(self, head: Request, status: int, text: bytes) -> CenoteError:
        if not f.is_in_step(status):
            self._distrust()
        return f.frame_error(status, text, head)

    # Replies of several frames.

    def _run_frame(self, head: Request, status: int, value: bytes) -> Progress:
        """Read the answer to one item of a run."""
        if head.kind != g.FRAME_QUIET:
            return self._found_frame(head, status, value)
        if status == f.SUCCESS:
            return MORE
        outcome = self._outcome(head, status)
        failure = self._refused(head, status, value) if outcome is None else outcome
        if not self._usable:
            return failure
        batch = self._batch = self._batch or BatchReply()
        batch.failures[self._place] = failure
        return MORE

    def _found_frame(self, head: Request, status: int, value: bytes) -> Progress:
        if status == f.SUCCESS:
            if self._items is None:
                self._items = {}
            self._items[self._frame_key] = self._item_of(head, value)
        elif status != f.KEY_ENOENT:
            error = self._refused(head, status, value)
            if not self._usable:
                return error
            self._error = self._error or error
        return MORE

    def _fence(self, head: Request, status: int, value: bytes) -> Progress:
        if status != f.SUCCESS:
            return self._refused(head, status, value)
        if value:
            raise self._broken("a value where there is none", value)
        if head.kind == g.FRAME_QUIET:
            return self._batch or BatchReply()
        return self._error or self._items or {}

    def _stat_frame(self, head: Request, status: int, value: bytes) -> Progress:
        if status == f.SUCCESS and (self._frame_key or value):
            self._stats[text_of(self._frame_key)] = text_of(value)
            return MORE
        stats, self._stats = self._stats, {}
        if status == f.SUCCESS:
            return stats
        if status == f.KEY_ENOENT:
            return f.frame_error(f.NOT_SUPPORTED, value, head)
        return self._refused(head, status, value)
