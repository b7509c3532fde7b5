"""The page that shows what a data folder holds, and what was kept out of it."""

from data_gen.data_page.page import write_data_report

__all__ = ["write_data_report"]
