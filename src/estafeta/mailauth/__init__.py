"""Who really sent it: SPF, DKIM, ARC, DMARC, MTA-STS, DANE. The resolver is handed in."""
