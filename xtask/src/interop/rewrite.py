"""What getmail's own writer makes of messages: FROM-FOLDER TO-FOLDER."""
import os
import sys

from getmailcore.message import Message

source, target = sys.argv[1:]
for name in os.listdir(source):
    with open(os.path.join(source, name), "rb") as file:
        # As its retriever has them from poplib: split at LF, without CRLF or LF.
        lines = [line[:-2] if line.endswith(b"\r\n") else line.rstrip(b"\n") for line in file]
    with open(os.path.join(target, name), "wb") as file:
        file.write(Message(fromlines=lines + [b""]).flatten(False, False))
