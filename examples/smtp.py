"""A connector of one's own, in ten lines: sessions with a mail server.

python examples/smtp.py HOST PORT FROM TO...
"""

from __future__ import annotations

import smtplib
import sys

from cenote import Pool


class Mail:
    """Opens, closes and checks sessions with one server."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    def connect(self, timeout: float | None) -> smtplib.SMTP:
        return smtplib.SMTP(self._host, self._port, timeout=10.0 if timeout is None else timeout)

    def close(self, session: smtplib.SMTP) -> None:
        session.quit()

    def is_alive(self, session: smtplib.SMTP) -> bool:
        return session.noop()[0] == 250


def main() -> None:
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    host, port, sender, *receivers = sys.argv[1:]
    with Pool(Mail(host, int(port)), max_size=2, check_after=10.0) as pool:
        for receiver in receivers:
            with pool.connection() as session:
                session.sendmail(sender, receiver, "Subject: hello\n\nhello")
            print("sent to", receiver)
        print("sessions:", pool.stats().created)


if __name__ == "__main__":
    main()
