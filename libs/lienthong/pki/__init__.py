"""Who a certificate speaks for, which certificates are trusted, and the keys that sign."""
