"""Panels, labels and pairs go to Label Studio, are corrected by a person, and come back.

Format: https://labelstud.io/guide/task_format (tasks, results, relations).
"""
