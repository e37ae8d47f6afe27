import pytest
import torch

from onelook.objective.mesh import mesh_loss

EDGES = torch.tensor([[0, 1], [1, 2]])


def test_two_vertices_moved_by_hand() -> None:
    """Wanted: edges of 3 and 4. Found: the last vertex is moved by (0, 0, 3), so its edge is 5 long."""
    wanted = torch.tensor([[[0.0, 0, 0], [3, 0, 0], [3, 4, 0]]])
    found = wanted.clone()
    found[0, 2, 2] = 3.0
    # Vertices: (0 + 0 + 3) / 3. Edges: (0 + 1) / 2.
    assert mesh_loss(found, wanted, EDGES, 1.0).item() == pytest.approx(1.5)
    assert mesh_loss(found, wanted, EDGES, 0.0).item() == pytest.approx(1.0)


def test_a_shifted_mesh_has_the_right_edges() -> None:
    wanted = torch.randn(4, 3, 3)
    assert mesh_loss(wanted + 0.5, wanted, EDGES, 100.0).item() == pytest.approx(1.5, abs=1e-3)


def test_faces_without_a_mesh_are_left_out_and_none_at_all_cost_nothing() -> None:
    wanted = torch.randn(3, 3, 3)
    found = torch.randn(3, 3, 3, requires_grad=True)
    alone = mesh_loss(found[:1], wanted[:1], EDGES, 1.0)
    wanted[1:] = torch.nan
    torch.testing.assert_close(mesh_loss(found, wanted, EDGES, 1.0), alone)
    nothing = mesh_loss(found, torch.full_like(wanted, torch.nan), EDGES, 1.0)
    nothing.backward()
    assert nothing.item() == 0 and found.grad is not None and found.grad.isfinite().all()


def test_the_gradient_is_finite_where_vertices_coincide() -> None:
    found = torch.zeros(1, 3, 3, requires_grad=True)
    mesh_loss(found, torch.ones(1, 3, 3), EDGES, 1.0).backward()
    assert found.grad is not None and found.grad.isfinite().all()


def test_the_gradient_is_that_of_the_paper_s_formula() -> None:
    torch.manual_seed(0)
    found = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    wanted = torch.randn(2, 3, 3, dtype=torch.float64)

    def formula(x: torch.Tensor) -> torch.Tensor:
        vertices = (x - wanted).abs().sum(-1).mean()
        sides = [(y[:, EDGES[:, 0]] - y[:, EDGES[:, 1]]).norm(dim=-1) for y in (x, wanted)]
        return vertices + (sides[0] - sides[1]).abs().mean()

    assert torch.autograd.gradcheck(formula, (found,))
    theirs = torch.autograd.grad(formula(found), found)[0]
    again = found.detach().float().requires_grad_()
    ours = torch.autograd.grad(mesh_loss(again, wanted.float(), EDGES, 1.0), again)[0]
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-5)
