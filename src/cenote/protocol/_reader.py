"""What lines and data blocks mean, by the grammar of the request they answer (pure twin).

Strategy: a handler is given one line, or the data block that a line announced by setting ``_due``,
and returns the reply, or ``MORE`` if it is not complete. It believes a line only if its request's
grammar has it and every echo matches. How bytes become lines and blocks is ``_parser``'s business.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from cenote.errors import CenoteError, ProtocolError
from cenote.protocol import grammar as g
from cenote.protocol.echo import same_key
from cenote.protocol.error_lines import error_reply, is_harmless
from cenote.protocol.replies import BatchReply, MetaReply, RawItem, Reply, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from cenote.protocol._request import Request


class More:
    """The type of ``MORE``."""


MORE: Final = More()
Progress: TypeAlias = Reply | More

_VALUE_LINE: Final = re.compile(rb"VALUE ([^ ]+) ([0-9]{1,20}) ([0-9]{1,10})(?: ([0-9]{1,20}))?")
_CONFIG_LINE: Final = re.compile(rb"CONFIG ([^ ]+) ([0-9]{1,10}) ([0-9]{1,10})")
_DIGITS: Final = re.compile(rb"[0-9]{1,20}")
_INDEX: Final = re.compile(rb"[0-9]{1,9}")
EXCERPT: Final = 60  # bytes of a broken reply that an error shows
_STAT_WORDS: Final = frozenset({b"STAT", b"ITEM", b"PREFIX"})


class ReplyReader:
    """The reply at the head of the queue, as far as it has been read."""

    __slots__ = (
        "_batch",
        "_due",
        "_error",
        "_header",
        "_in_part",
        "_index",
        "_item",
        "_items",
        "_lines",
        "_max_value",
        "_meta",
        "_open",
        "_usable",
        "_verb",
        "_wanted",
    )

    def __init__(self, max_value: int) -> None:
        self._max_value = max_value
        self._usable = True
        self._verb = "idle"  # of the command being answered
        self._header: tuple[bytes, int, int] = (b"", 0, 0)  # key, flags, cas of the block due
        self._meta: MetaReply | None = None  # what the block due belongs to
        self._wanted: frozenset[bytes] = frozenset()  # keys asked for
        self._forget()

    def _forget(self) -> None:
        """Begin with the next reply."""
        self._open = False  # some line of the reply has been read
        self._due = -1  # bytes of the data block that the last line announced
        self._index = 0  # parts or lines of the reply that are complete
        self._in_part = False  # the part has begun
        self._item: RawItem | str | None = None
        self._items: dict[bytes, RawItem] | None = None
        self._lines: list[bytes] = []
        self._batch: BatchReply | None = None
        self._error: CenoteError | None = None

    def _line(self, head: Request, line: bytes) -> Progress:
        self._open = True
        self._verb = head.verb
        return self._LINE_HANDLERS[head.kind](self, head, line)

    def _block(self, head: Request, block: bytes) -> Progress:
        self._due = -1
        return self._BLOCK_HANDLERS[head.kind](self, block)

    # When the peer breaks the protocol.

    def _distrust(self) -> None:
        """Believe nothing any more."""
        self._usable = False

    def _broken(self, what: str, excerpt: bytes) -> ProtocolError:
        self._distrust()
        return ProtocolError(
            f"{self._verb}: the server sent {what}: {excerpt[:EXCERPT]!r}; "
            "this connection can not be used any more"
        )

    def _unexpected(self, line: bytes) -> ProtocolError:
        return self._broken("a line that does not answer this command", line)

    def _refusal(self, head: Request, line: bytes) -> CenoteError:
        """Return the error that a line stands for, or raise because it is none."""
        error = error_reply(line, head)
        if error is None:
            raise self._unexpected(line)
        if not is_harmless(line, data_sent=head.kind in g.CARRY_DATA):
            self._distrust()
        return error

    def _announce(self, digits: bytes, line: bytes) -> More:
        """Make a data block due."""
        size = int(digits)
        if size > self._max_value:
            raise self._broken(f"a data block over the limit of {self._max_value} bytes", line)
        self._due = size
        return MORE

    def _u64(self, digits: bytes, line: bytes) -> int:
        number = int(digits)
        if number > g.MAX_U64:
            raise self._broken("a number over 64 bits", line)
        return number

    # Items: VALUE lines with their blocks, then END.

    def _value_line(self, line: bytes, with_cas: bool) -> bytes:
        """Read a VALUE line, make its block due, and return its key."""
        match = _VALUE_LINE.fullmatch(line)
        if match is None:
            raise self._unexpected(line)
        key, flags, size, cas = match.groups()
        if (cas is not None) is not with_cas:
            raise self._unexpected(line)
        self._header = (key, self._u64(flags, line), self._u64(cas or b"0", line))
        self._announce(size, line)
        self._in_part = True
        return bytes(key)

    def _item_line(self, head: Request, line: bytes) -> Progress:
        if line == b"END":
            return self._item
        if not line.startswith(b"VALUE "):
            return self._refused_part(head, line)
        if self._in_part:
            raise self._broken("a second item", line)
        if self._value_line(line, head.kind == g.GETS) != head.key:
            raise self._broken("another key's item", line)
        return MORE

    def _item_block(self, block: bytes) -> Progress:
        _, flags, cas = self._header
        self._item = (block, flags, cas)
        return MORE

    def _items_line(self, head: Request, line: bytes) -> Progress:
        if line == b"END":
            return self._part_done(head)
        if not line.startswith(b"VALUE "):
            return self._refused_part(head, line)
        self._open_items(head)
        if self._value_line(line, head.kind == g.GETS_MANY) not in self._wanted:
            raise self._broken("the item of a key not asked for", line)
        return MORE

    def _items_block(self, block: bytes) -> Progress:
        key, flags, cas = self._header
        assert self._items is not None  # its line opened them
        self._items[key] = (block, flags, cas)
        return MORE

    def _open_items(self, head: Request) -> dict[bytes, RawItem]:
        if self._items is None:
            self._items = {}
            self._wanted = frozenset(head.keys or ())
        return self._items

    def _refused_part(self, head: Request, line: bytes) -> Progress:
        """Take an error line in the place of a part; behind an item it is not to be trusted."""
        error = self._refusal(head, line)
        if self._in_part:
            self._distrust()
        if self._error is None:
            self._error = error
        return self._part_done(head) if self._usable else self._error

    def _part_done(self, head: Request) -> Progress:
        self._index += 1
        self._in_part = False
        if self._index < head.count:
            return MORE
        if self._error is not None:
            return self._error
        return self._items or {}

    # One line.

    def _status_line(self, head: Request, line: bytes) -> Progress:
        status = g.STATUSES[head.kind].get(line)
        return self._refusal(head, line) if status is None else status

    def _number_line(self, head: Request, line: bytes) -> Progress:
        if _DIGITS.fullmatch(line):
            return self._u64(line, line)
        return None if line == b"NOT_FOUND" else self._refusal(head, line)

    def _version_line(self, head: Request, line: bytes) -> Progress:
        if line.startswith(b"VERSION "):
            return text_of(line[8:])
        return self._refusal(head, line)

    def _any_line(self, head: Request, line: bytes) -> Progress:
        error = error_reply(line, head)
        return [text_of(line)] if error is None else self._refusal(head, line)

    # Lines of text.

    def _stats_line(self, head: Request, line: bytes) -> Progress:
        if line == b"END":
            return dict(_name_and_text(stat) for stat in self._lines)
        word, _, name_and_text = line.partition(b" ")
        if word in _STAT_WORDS and name_and_text:
            self._lines.append(name_and_text)
            return MORE
        if line in (b"RESET", b"OK") and not self._lines:
            return {}
        return self._refusal(head, line)

    def _text_line(self, head: Request, line: bytes) -> Progress:
        if line == b"END":
            return [text_of(each) for each in self._lines]
        if not self._lines and error_reply(line, head) is not None:
            return self._refusal(head, line)
        self._lines.append(line)
        return MORE

    def _config_line(self, head: Request, line: bytes) -> Progress:
        if line == b"END":
            return self._item
        match = _CONFIG_LINE.fullmatch(line)
        if match is None:
            return self._refused_part(head, line)
        if self._in_part:
            raise self._broken("a second configuration", line)
        self._in_part = True
        return self._announce(match[3], line)

    def _config_block(self, block: bytes) -> Progress:
        self._item = text_of(block)
        return MORE

    # Meta commands.

    def _meta_line(self, head: Request, line: bytes) -> Progress:
        code, _, rest = line.partition(b" ")
        status = code.decode("latin-1")
        if status not in g.META_CODES[head.kind]:
            return self._refusal(head, line)
        size, _, _ = rest.partition(b" ")
        flags = self._meta_flags(line[3 + len(size) if status == "VA" else 2 :], line)
        self._check_echo(head, status, flags, line)
        reply = MetaReply(status, None, flags)
        if status != "VA":
            return reply
        if not _DIGITS.fullmatch(size):
            raise self._unexpected(line)
        self._meta = reply
        return self._announce(size, line)

    def _meta_block(self, block: bytes) -> Progress:
        reply = self._meta
        assert reply is not None  # its line made the block due
        return MetaReply(reply.status, block, reply.flags)

    def _meta_flags(self, tail: bytes, line: bytes) -> dict[str, bytes]:
        """Read the returned flags, each behind a space; one more space may end the line."""
        tail = tail.removesuffix(b" ")
        if not tail:
            return {}
        flags = {}
        for token in tail[1:].split(b" "):
            if not token:
                raise self._unexpected(line)
            flags[chr(token[0])] = token[1:]
        return flags

    def _check_echo(self, head: Request, status: str, flags: dict[str, bytes], line: bytes) -> None:
        """Hold the reply's key and opaque against the request's; a miss may repeat neither."""
        opaque, key = flags.get("O"), flags.get("k")
        if opaque != head.opaque and not (opaque is None and status == "EN"):
            raise self._broken("another request's opaque", line)
        if not head.echo & g.ECHO_KEY or (key is None and status == "EN"):
            return
        asked_base64 = bool(head.echo & g.ECHO_BASE64)
        if key is None or not same_key(head.key or b"", asked_base64, key, "b" in flags):
            raise self._broken("another key's reply", line)

    def _debug_line(self, head: Request, line: bytes) -> Progress:
        if line == b"EN":
            return MetaReply("EN", None, {})
        code, _, rest = line.partition(b" ")
        if code != b"ME":
            return self._refusal(head, line)
        key, *facts = rest.split(b" ")
        if not same_key(head.key or b"", False, key, key != head.key):
            raise self._broken("another key's metadata", line)
        return MetaReply("ME", None, dict(self._fact(fact, line) for fact in facts))

    def _fact(self, fact: bytes, line: bytes) -> tuple[str, bytes]:
        name, equals, value = fact.partition(b"=")
        if not equals:
            raise self._unexpected(line)
        return text_of(name), value

    # Batches.

    def _batch_line(self, head: Request, line: bytes) -> Progress:
        """Read the answer to the next item of a batch that is answered one by one."""
        batch = self._batch = self._batch or BatchReply()
        status = g.STATUSES[g.STORE if head.kind == g.SETS else g.DELETE].get(line)
        if status is None:
            error = self._refusal(head, line)
            if not self._usable:
                return error
            batch.failures[self._index] = error
        elif status is Status.NOT_STORED or status is Status.NOT_FOUND:
            batch.failures[self._index] = status
        self._index += 1
        return MORE if self._index < head.count else batch

    def _quiet_line(self, head: Request, line: bytes) -> Progress:
        """Read a line of a quiet run: a failure that names its item, an error, or the fence."""
        batch = self._batch = self._batch or BatchReply()
        if line == b"MN":
            return batch
        code, _, _ = line.partition(b" ")
        status = g.BATCH_STATUSES.get(code.decode("latin-1"))
        if status is not None or code == b"HD":
            index = self._quiet_index(head, line)
            if status is not None:
                batch.failures[index] = status
            return MORE
        error = self._refusal(head, line)
        if line == b"ERROR":  # the server may not know the fence either
            self._distrust()
        batch.unplaced.append(error)
        return MORE if self._usable else error

    def _quiet_index(self, head: Request, line: bytes) -> int:
        opaque = self._meta_flags(line[2:], line).get("O", b"")
        if not _INDEX.fullmatch(opaque) or int(opaque) >= head.count:
            raise self._broken("the answer to no item of this batch", line)
        return int(opaque)

    # Which handler reads which kind.

    _LINE_HANDLERS: ClassVar[dict[int, Callable[[ReplyReader, Request, bytes], Progress]]] = {
        **dict.fromkeys((g.GET, g.GETS), _item_line),
        **dict.fromkeys((g.GET_MANY, g.GETS_MANY), _items_line),
        **dict.fromkeys(g.STATUSES, _status_line),
        g.NUMBER: _number_line,
        g.VERSION: _version_line,
        g.STATS: _stats_line,
        g.CONFIG: _config_line,
        g.LINE: _any_line,
        g.LINES: _text_line,
        **dict.fromkeys(g.META_CODES, _meta_line),
        g.META_DEBUG: _debug_line,
        **dict.fromkeys((g.SETS, g.DELETES), _batch_line),
        **dict.fromkeys((g.QUIET_SETS, g.QUIET), _quiet_line),
    }
    _BLOCK_HANDLERS: ClassVar[dict[int, Callable[[ReplyReader, bytes], Progress]]] = {
        **dict.fromkeys((g.GET, g.GETS), _item_block),
        **dict.fromkeys((g.GET_MANY, g.GETS_MANY), _items_block),
        **dict.fromkeys((g.META_VALUE, g.META_NUMBER), _meta_block),
        g.CONFIG: _config_block,
    }


def text_of(data: bytes) -> str:
    """Return bytes as text; what is no UTF-8 is shown by its numbers."""
    return data.decode("utf-8", "backslashreplace")


def _name_and_text(stat: bytes) -> tuple[str, str]:
    name, _, text = stat.partition(b" ")
    return text_of(name), text_of(text)
