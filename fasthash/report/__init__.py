"""The report page: run folders in, one self-contained HTML file out.

`record.py` reads a run, `figures.py` makes charts of its numbers, `grid.py` finds what its queries meet, `page.py` puts
all of it into the templates.
"""

from fasthash.report.items import Items
from fasthash.report.page import write_page
from fasthash.report.record import RunRecord, read_run

__all__ = ["Items", "RunRecord", "read_run", "write_page"]
