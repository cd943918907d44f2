"""Published data and the numbers that other software gives for them."""

from __future__ import annotations

import math

NA = math.nan

# Hollander and Wolfe, the depression data of ?wilcox.test in R
DEPRESSION_BEFORE = (1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30)
DEPRESSION_AFTER = (0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29)

# Student's sleep data: extra hours of sleep with two drugs
SLEEP_1 = (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0)
SLEEP_2 = (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4)

# New York air quality 1973, ozone in ppb
OZONE_MAY = (41, 36, 12, 18, NA, 28, 23, 19, 8, NA, 7, 16, 11, 14, 18, 14, 34, 6, 30, 11, 1, 11, 4, 32, NA, NA, NA, 23,
             45, 115, 37)  # fmt: skip
OZONE_AUGUST = (39, 9, 16, 78, 35, 66, 122, 89, 110, NA, NA, 44, 28, 65, NA, 22, 59, 23, 31, 44, 21, 9, NA, 45, 168, 73,
                NA, 76, 118, 84, 85)  # fmt: skip
