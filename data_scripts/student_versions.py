"""A notebook -> its student version: gaps for answers, outputs gone, the answer folded below the hint. Used by course.py.

An exercise is a markdown cell that begins with `### Exercise N.k`, a code cell whose answer stands between ### BEGIN SOLUTION and
### END SOLUTION (nbgrader's marks) and whose last line is check("name", function), and a cell with a folded hint.
Not about: files, badges and setup cells (course.py), or what a check says (keepfit_mini/checks.py).
"""

from __future__ import annotations

import copy
import hashlib
import re

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from keepfit_mini.checks import EXERCISES

TITLE = re.compile(r"### Exercise (\d+)\.(\d+)\b")
EFFORT = re.compile(r"^Difficulty: (●*)(○*) · about (\d+) minutes?$", re.MULTILINE)
ANSWER = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION[ \t]*$", re.MULTILINE | re.DOTALL)
CHECK = re.compile(r"^check\([\"']([^\"']+)[\"'], .+\)\s*\Z", re.MULTILINE)
HINT = "<details><summary>Hint</summary>"
HINTS = re.compile(r"(?:<details><summary>Hint(?: \d)?</summary>.*?</details>\s*)+", re.DOTALL)
MARKER = re.compile(r"^[ \t]*#[ \t]*NBVAL_\w+[ \t]*\n", re.MULTILINE)
INTRODUCTION = """This is the student version of `notebooks/{0}`, which has all outputs. **How to work:** replace each
`raise NotImplementedError("your turn")` by your answer and run the cell; its check says what differs and why it matters. Below
stand a hint and an answer, both folded. Later cells use your functions: who is stuck takes the folded answer and goes on.
"Run all" stops at the first gap; that is meant."""
KEPT = re.compile(r"(it means the outputs\s+)below")  # what a notebook says of its outputs; a student version has none


def mistakes(notebook: NotebookNode, number: int, table: dict = EXERCISES) -> list[str]:
    """What is wrong with a notebook's exercises, one line each. table: name -> difficulty, minutes."""
    wrong, answers, cells = [], 0, notebook.cells
    titles = [i for i, cell in enumerate(cells) if cell.cell_type == "markdown" and cell.source.startswith("### Exercise")]
    for k, i in enumerate(titles, 1):
        name = f"exercise {number}.{k}"
        found = TITLE.match(cells[i].source)
        if not found or (int(found[1]), int(found[2])) != (number, k):
            wrong.append(f"{name}: its title begins otherwise than `### Exercise {number}.{k}`")
        effort = EFFORT.search(cells[i].source)
        if not effort or len(effort[1] + effort[2]) != 3 or not effort[1]:
            wrong.append(f"{name}: no line like `Difficulty: ●○○ · about 5 minutes`")
        code, hint = (*cells[i + 1 : i + 3], None, None)[:2]
        if code is None or code.cell_type != "code" or not ANSWER.search(code.source):
            wrong.append(f"{name}: the cell below its title has no ### BEGIN SOLUTION ... ### END SOLUTION")
            continue
        answers += 1
        if hint is None or hint.cell_type != "markdown" or not HINTS.search(hint.source):
            wrong.append(f"{name}: the cell below its code has no `{HINT}` ... `</details>`")
        check = CHECK.search(code.source)
        if not check:
            wrong.append(f'{name}: its code does not end with check("name", function)')
        elif check[1] not in table:
            wrong.append(f"{name}: keepfit_mini.checks knows no {check[1]!r}")
        elif effort and (len(effort[1]), int(effort[3])) != (table[check[1]].difficulty, table[check[1]].minutes):
            row = table[check[1]]
            wrong.append(f"{name}: keepfit_mini.checks says difficulty {row.difficulty}, {row.minutes} minutes")
    if sum("### BEGIN SOLUTION" in cell.source for cell in cells) > answers:
        wrong.append("a ### BEGIN SOLUTION stands outside an exercise, or has no end")
    return wrong


def solution(source: str) -> NotebookNode:
    """A folded cell with the whole answer, without markers and check."""
    code = CHECK.sub("", re.sub(r"^[ \t]*### (?:BEGIN|END) SOLUTION[ \t]*\n", "", MARKER.sub("", source), flags=re.MULTILINE))
    return new_markdown_cell(f"<details><summary>Solution</summary>\n\n```python\n{code.strip()}\n```\n\n</details>")


def student(notebook: NotebookNode, name: str, badge: str) -> NotebookNode:
    """The student version of notebooks/NAME, with the badge line that opens it.

    Cells are named after their content, so that an unchanged cell is an unchanged file."""
    cells: list[NotebookNode] = []
    answer = None  # of the exercise whose hint comes next
    for cell in copy.deepcopy(notebook.cells):
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
            answer = solution(cell.source) if ANSWER.search(cell.source) else None
            cell.source = ANSWER.sub(r'\1raise NotImplementedError("your turn")', MARKER.sub("", cell.source))
        cells.append(cell)
        if answer and (hints := HINTS.search(cell.source)):
            after = cell.source[hints.end() :]  # the answer stands right below the hint, not below the text that follows it
            cell.source = cell.source[: hints.end()].rstrip()
            cells += [answer, *([new_markdown_cell(after)] if after else [])]
            answer = None
    title = re.sub(r"\A\[!\[Open in Colab\].*\n*", "", cells[0].source)
    title = KEPT.sub(r"\1of the solved notebook", title)
    cells[0].source = f"{badge}\n\n{INTRODUCTION.format(name)}\n\n{title}"
    seen: dict[str, int] = {}
    for cell in cells:
        seen[cell.source] = seen.get(cell.source, 0) + 1
        cell.id = hashlib.sha256(f"{cell.source}{seen[cell.source]}".encode()).hexdigest()[:8]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})
