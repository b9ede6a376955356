"""Collects a maildrop with Python's own POP3 client: WAY PORT CERTIFICATE USER keep|delete."""
import poplib
import ssl
import sys

# Its own bound is 2,048 octets; real mail has longer lines.
poplib._MAXLINE = 1 << 24

way, port, certificate, user, what = sys.argv[1:]
password = sys.stdin.read().strip()
context = ssl.create_default_context(cafile=certificate)
if way == "pop3s":
    server = poplib.POP3_SSL("localhost", int(port), timeout=60, context=context)
else:
    server = poplib.POP3("localhost", int(port), timeout=60)
if way == "stls":
    server.stls(context)
server.user(user)
server.pass_(password)
count, octets = server.stat()
sizes = [int(line.split()[1]) for line in server.list()[1]]
ids = [line.split()[1] for line in server.uidl()[1]]
assert len(sizes) == len(ids) == len(set(ids)) == count, "LIST, UIDL and STAT disagree"
assert sum(sizes) == octets, "LIST and STAT disagree"
for number in range(1, count + 1):
    # poplib splits lines at LF and takes CRLF or LF away: put back what was there.
    server._putcmd("RETR %d" % number)
    assert server._getresp().startswith(b"+OK")
    message = bytearray()
    while True:
        line = server.file.readline()
        if line == b".\r\n":
            break
        message += line[1:] if line.startswith(b".") and message[-2:] in (b"", b"\r\n") else line
    # RFC 1939 §11: the octets that LIST tells are those on the wire, unstuffed.
    assert len(message) == sizes[number - 1], "message %d has not the size that LIST says" % number
    with open("out/%d" % number, "wb") as out:
        out.write(message)
    if what == "delete":
        server.dele(number)
server.quit()
