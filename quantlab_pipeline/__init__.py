"""quantlab: raw crypto-perpetual market data in, a few robust strategies out, everything else refused."""
