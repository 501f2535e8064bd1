"""Websocket messages kept as they came: the recorder that writes, the source that reads them."""
