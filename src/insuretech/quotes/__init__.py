"""Quote requests, insurers' answers and offers."""
