"""The incremental reply parser: how bytes become lines and data blocks (pure twin).

Strategy
1. The stream is read as lines and data blocks. A block is announced by a line, which alone gives
   its length; the end of a reply is never searched for in data. Replies of the binary protocol are
   frames: a header with extras and a key takes the place of the line, a value that of the block.
2. A byte is looked at once. A line cut by the end of a segment is carried over and only new bytes
   are searched for its end; a block that comes in pieces goes into a buffer of its final size.
3. What a line means is ``_reader``'s business, a frame ``_frame_reader``'s. The shortcuts
   here take whole items where they are complete and as expected, and leave everything else, errors
   included, to them.
4. After a ``ProtocolError`` nothing is believed any more.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Final

from cenote.errors import ConnectionLost, ProtocolError
from cenote.protocol import grammar as g
from cenote.protocol._frame_reader import FrameReader
from cenote.protocol._reader import EXCERPT, More
from cenote.protocol.frames import HEADER_SIZE

if TYPE_CHECKING:
    from cenote.protocol._request import Request
    from cenote.protocol.replies import Reply

_SCRATCH: Final = 65536  # bytes offered to a driver that receives in place

_ITEM: Final = re.compile(rb"VALUE ([^ \r\n]+) ([0-9]{1,19}) ([0-9]{1,10})(?: ([0-9]{1,19}))?\r\n")

_NUMBERS: Final = re.compile(rb"([0-9]{1,19}) ([0-9]{1,10})(?: ([0-9]{1,19}))?")

# What comes next.
_LINE: Final = 0
_BLOCK: Final = 1
_CR: Final = 13  # the end of a block: the byte that is due
_LF: Final = 10
_WHOLE: Final = 2  # nothing: the value of a frame has no end but its length


class ReplyParser(FrameReader):
    """Turns the bytes of one connection into the replies to the requests sent on it, in order.

    Not thread-safe: one conversation, one parser, one driver at a time.

    Args:
        max_value: Bytes; a longer data block is a ``ProtocolError``.
    """

    __slots__ = ("_block_bytes", "_carry", "_filled", "_next", "_queue", "_scratch")

    def __init__(self, max_value: int = g.MAX_VALUE) -> None:
        super().__init__(max_value)
        self._queue: deque[Request] = deque()
        self._release()

    def _release(self) -> None:
        """Hold no memory."""
        self._next = _LINE
        self._carry = bytearray()  # the line that the end of a segment cut
        self._filled = 0  # bytes of the block that have come
        self._block_bytes = bytearray()  # allocated when a block comes in pieces
        self._scratch: bytearray | None = None

    def _distrust(self) -> None:
        super()._distrust()
        self._release()

    # What a driver asks.

    @property
    def pending(self) -> int:
        """How many requests wait for their reply."""
        return len(self._queue)

    @property
    def usable(self) -> bool:
        """Whether the conversation is in step; once False, False for ever."""
        return self._usable

    @property
    def started(self) -> bool:
        """Whether some byte of the reply at the head has arrived."""
        return self._open or bool(self._carry)

    @property
    def clean(self) -> bool:
        """Whether the connection is proved to be between two conversations."""
        return self._usable and not self._queue

    # What a driver tells.

    def expect(self, request: Request) -> None:
        """Say that ``request`` is being sent: its reply is due after those before it."""
        self._queue.append(request)

    def feed(self, data: bytes | bytearray | memoryview) -> list[Reply]:
        """Take bytes as they arrived, and return the replies they complete.

        Returns:
            Replies in the order of their requests; error replies are instances of ``CenoteError``.
            Look at ``usable`` afterwards: behind an error that may have put the conversation out of
            step, bytes are dropped and the requests still pending will not be answered.

        Raises:
            ProtocolError: The bytes are not the replies to what was asked. Nothing of them is
                believed, nor anything later.
        """
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        replies: list[Reply] = []
        position, size = 0, len(data)
        while position < size:
            if not self._usable or not self._queue:
                raise self._unasked(data[position : position + EXCERPT])
            position = self._step(data, position, replies)
            if replies and not self._usable:
                break
        return replies

    def get_buffer(self, sizehint: int = -1) -> memoryview:
        """Return room for the next bytes: the rest of the block being read, if there is one.

        Args:
            sizehint: Bytes that are likely to come; a suggestion.
        """
        if self._next == _BLOCK:
            return memoryview(self._room())[self._filled :]
        if self._scratch is None:
            self._scratch = bytearray(max(sizehint, _SCRATCH))
        return memoryview(self._scratch)

    def buffer_updated(self, received: int) -> list[Reply]:
        """Take the bytes written to the room that ``get_buffer`` gave; see ``feed``."""
        if self._next == _BLOCK:
            if not (self._block_bytes and 0 <= received <= self._due - self._filled):
                raise ValueError("more was received than there is room for")
            self._count(received)
            return self._whole()
        if self._scratch is None or not 0 <= received <= len(self._scratch):
            raise ValueError("more was received than get_buffer() gave room for")
        replies = self.feed(memoryview(self._scratch)[:received])
        if not self._queue:
            self._scratch = None
        return replies

    def eof(self) -> None:
        """Say that the peer has closed the connection.

        Raises:
            ConnectionLost: Replies were due, or the conversation was out of step.
        """
        if self.clean:
            return
        started = self.started
        self._distrust()
        raise ConnectionLost(
            f"the server closed the connection with {self.pending} replies due"
            f"{', the first of them cut short' if started else ''}",
            replied=started,
        )

    def _broken(self, what: str, excerpt: bytes) -> ProtocolError:
        if self._queue:
            self._verb = self._queue[0].verb
        return super()._broken(what, excerpt)

    def _unasked(self, excerpt: bytes) -> ProtocolError:
        what = "bytes that nobody asked for" if self._usable else "bytes after it lost step"
        return self._broken(what, excerpt)

    # Lines and blocks.

    def _step(self, data: bytes, position: int, replies: list[Reply]) -> int:
        """Read one line, block, item or frame of ``data``; return where it ended."""
        head = self._queue[0]
        if head.kind >= g.FRAMES:
            return self._read_frame(head, data, position, replies)
        if self._next != _LINE:
            return self._read_block(head, data, position, replies)
        if head.kind <= g.GETS_MANY and not self._carry:
            reached = self._shortcut(head, data, position, replies)
            if reached > position:
                return reached
        return self._read_line(head, data, position, replies)

    def _read_line(self, head: Request, data: bytes, position: int, replies: list[Reply]) -> int:
        limit = g.MAX_TEXT_LINE if head.kind in g.TEXT_KINDS else g.MAX_LINE
        room = limit - len(self._carry)
        stop = data.find(b"\n", position, position + room) + 1
        if not stop:
            self._carry += data[position : position + room]
            if len(self._carry) >= limit:
                raise self._broken("a line without an end", bytes(self._carry))
            return len(data)
        line = data[position:stop]
        if self._carry:
            line = bytes(self._carry) + line
            self._carry = bytearray()
        if line.endswith(b"\r\n"):
            line = line[:-2]
        elif head.kind == g.LINES:  # memcached ends the lines of its dumps by LF alone
            line = line[:-1]
        else:
            raise self._broken("a line that does not end with CRLF", line)
        self._finish(self._line(head, line), replies)
        if self._due >= 0:
            self._next = _BLOCK if self._due else _CR
            self._filled = 0
        return stop

    def _read_block(self, head: Request, data: bytes, position: int, replies: list[Reply]) -> int:
        stop = position + self._due
        if not self._filled and data[stop : stop + 2] == b"\r\n" and self._next != _LF:
            self._end_block(head, data[position:stop], replies)
            return stop + 2
        if self._next == _BLOCK:
            return self._fill_block(data, position)
        if data[position] != self._next:
            raise self._broken("a data block longer than announced", data[position:])
        if self._next == _CR:
            self._next = _LF
        else:
            self._end_block(head, bytes(self._block_bytes), replies)
        return position + 1

    def _fill_block(self, data: bytes, position: int) -> int:
        filled = self._filled
        piece = memoryview(data)[position : position + self._due - filled]
        self._room()[filled : filled + len(piece)] = piece
        self._count(len(piece))
        return position + len(piece)

    def _room(self) -> bytearray:
        if not self._block_bytes:
            self._block_bytes = bytearray(self._due)
        return self._block_bytes

    def _count(self, received: int) -> None:
        self._filled += received
        if self._filled == self._due:
            self._next = _CR if self._queue[0].kind < g.FRAMES else _WHOLE

    def _end_block(self, head: Request, block: bytes, replies: list[Reply]) -> None:
        self._block_bytes = bytearray()
        self._filled = 0
        self._next = _LINE
        take = self._block if head.kind < g.FRAMES else self._take_frame
        self._finish(take(head, block), replies)

    def _finish(self, reply: Reply | More, replies: list[Reply]) -> None:
        if not isinstance(reply, More):
            self._queue.popleft()
            self._forget()
            replies.append(reply)

    # Frames.

    def _read_frame(self, head: Request, data: bytes, position: int, replies: list[Reply]) -> int:
        """Read a whole frame; or of one that comes in pieces what comes next."""
        if self._next == _BLOCK:
            return self._read_value(head, data, position, replies)
        start = position + HEADER_SIZE
        stop = start + int.from_bytes(data[position + 8 : position + 12])
        if self._carry or max(start, stop) > len(data):
            return self._read_front(head, data, position, replies)
        frame = self._take_header(head, data[position:start])
        value = start + frame[2] + frame[3]
        self._take_parts(head, data[start:value])
        self._finish(self._take_frame(head, data[value:stop]), replies)
        return stop

    def _read_front(self, head: Request, data: bytes, position: int, replies: list[Reply]) -> int:
        """Read a piece of a header, or of the extras and the key behind it."""
        front = self._carry
        size = HEADER_SIZE
        if len(front) >= size:
            size += self._frame[2] + self._frame[3]
        piece = data[position : position + size - len(front)]
        front += piece
        if len(front) == HEADER_SIZE:
            frame = self._take_header(head, bytes(front))
            size += frame[2] + frame[3]
        if len(front) == size:
            self._carry = bytearray()
            self._take_parts(head, bytes(front[HEADER_SIZE:]))
            self._filled = 0
            self._next = _BLOCK if self._due else _WHOLE
            replies += self._whole()
        return position + len(piece)

    def _read_value(self, head: Request, data: bytes, position: int, replies: list[Reply]) -> int:
        stop = position + self._due
        if not self._filled and stop <= len(data):
            self._end_block(head, data[position:stop], replies)
            return stop
        position = self._fill_block(data, position)
        replies += self._whole()
        return position

    def _whole(self) -> list[Reply]:
        """Take the frame whose last byte has come, if it has; the reply that it completes."""
        replies: list[Reply] = []
        if self._next == _WHOLE:
            self._end_block(self._queue[0], bytes(self._block_bytes), replies)
            if not self._queue:
                self._scratch = None
        return replies

    # Shortcuts.

    def _shortcut(self, head: Request, data: bytes, position: int, replies: list[Reply]) -> int:
        if head.kind >= g.GET_MANY:
            return self._whole_items(head, data, position)
        return position if self._open else self._whole_item(head, data, position, replies)

    def _whole_item(self, head: Request, data: bytes, position: int, replies: list[Reply]) -> int:
        """Take the whole reply to a single get."""
        match = _ITEM.match(data, position)
        if match is None:
            return position
        key, flags, size, cas = match.groups()
        start = match.end()
        stop = start + int(size)
        if (
            data[stop : stop + 7] != b"\r\nEND\r\n"
            or key != head.key
            or (cas is not None) is not (head.kind == g.GETS)
            or stop - start > self._max_value
        ):
            return position
        self._queue.popleft()
        replies.append((data[start:stop], int(flags), int(cas) if cas else 0))
        return stop + 7

    def _whole_items(self, head: Request, data: bytes, position: int) -> int:
        """Take those items of a reply that are there as a whole."""
        items = self._open_items(head)
        wanted, with_cas = self._wanted, head.kind == g.GETS_MANY
        seen: dict[bytes, tuple[int, int, int]] = {}  # numbers, as items tend to be alike
        while True:
            end = data.find(b"\r\n", position)
            words = data[position:end].split(b" ", 2)
            if end < 0 or len(words) != 3 or words[0] != b"VALUE" or words[1] not in wanted:
                return position
            numbers = seen.get(words[2])
            if numbers is None:
                numbers = self._numbers(words[2], with_cas)
                if numbers is None:
                    return position
                seen[words[2]] = numbers
            flags, size, cas = numbers
            stop = end + 2 + size
            if data[stop : stop + 2] != b"\r\n":
                return position
            items[words[1]] = (data[end + 2 : stop], flags, cas)
            self._in_part = self._open = True
            position = stop + 2

    def _numbers(self, text: bytes, with_cas: bool) -> tuple[int, int, int] | None:
        """Read the flags, size and cas of an item, if they are as expected."""
        match = _NUMBERS.fullmatch(text)
        if match is None or (match[3] is not None) is not with_cas:
            return None
        size = int(match[2])
        return (int(match[1]), size, int(match[3] or 0)) if size <= self._max_value else None
