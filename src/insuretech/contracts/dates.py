"""Calendar arithmetic that contracts are counted by."""

import calendar
from datetime import date


def plus_months(day: date, months: int) -> date:
    """The same day so many months on, or the last day of a month that is too short for it (art. 192 Civil Code)."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def full_years(since: date, on: date) -> int:
    """Whole years between two days; negative when ``on`` comes first. A 29 February comes round on 1 March."""
    return on.year - since.year - ((on.month, on.day) < (since.month, since.day))
