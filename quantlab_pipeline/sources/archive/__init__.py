"""The official Binance archive: its layout, its files, and a folder of them as a source."""
