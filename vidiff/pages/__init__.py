"""What HTML pages are made of: charts, videos that are embedded, a shared style."""
