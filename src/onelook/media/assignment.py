"""Linear assignment: rows to columns, one to one, with the largest sum of scores.

Reference: Jonker and Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment problems",
Computing 38, 1987. SciPy's function does the same, but nothing else of SciPy is needed for identification.
"""

import numpy as np


def maximize_assignment(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Assign rows to columns one to one, with the largest sum of scores.

    Args:
        scores: (n, m) finite.

    Returns:
        Row and column of each of the min(n, m) pairs, int64.
    """
    if scores.shape[0] > scores.shape[1]:
        columns, rows = maximize_assignment(scores.T)
        return rows, columns
    costs = -scores.astype(np.float64)
    prices = np.zeros(costs.shape[1])
    row_of = np.full(costs.shape[1], -1)
    for row in range(len(costs)):
        _assign_row(costs, prices, row_of, row)
    columns = np.flatnonzero(row_of >= 0)
    return row_of[columns], columns


def _assign_row(costs: np.ndarray, prices: np.ndarray, row_of: np.ndarray, row: int) -> None:
    """Assign one more row along the augmenting path of lowest cost, by Dijkstra's algorithm.

    Args:
        costs: (n, m).
        prices: (m,) dual variables of the columns; updated.
        row_of: (m,) row of each column, -1 of free columns; updated.
        row: the row to assign.
    """
    distances = costs[row] - prices
    previous = np.full(len(prices), -1)  # the column before each column on its path; -1: `row`
    is_settled = np.zeros(len(prices), bool)
    while True:
        column = int(np.where(is_settled, np.inf, distances).argmin())
        is_settled[column] = True
        owner = row_of[column]
        if owner < 0:
            break
        detour = distances[column] + costs[owner] - prices - (costs[owner, column] - prices[column])
        is_shorter = ~is_settled & (detour < distances)
        distances[is_shorter] = detour[is_shorter]
        previous[is_shorter] = column
    prices[is_settled] += distances[is_settled] - distances[column]
    while previous[column] >= 0:
        row_of[column] = row_of[previous[column]]
        column = int(previous[column])
    row_of[column] = row
