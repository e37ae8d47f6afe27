import pytest
import torch

from onelook.geometry.mesh import NUM_VERTICES, POINTS_68
from onelook.losses.detection import BACKGROUND, IGNORED, Matches
from onelook.losses.mesh import mesh_and_landmarks_loss, mesh_loss, select_mesh_targets

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


def test_no_face_costs_nothing() -> None:
    found = torch.randn(0, 3, 3, requires_grad=True)
    nothing = mesh_loss(found, torch.zeros(0, 3, 3), EDGES, 1.0)
    nothing.backward()
    assert nothing.item() == 0 and found.grad is not None


def test_positive_anchors_of_faces_with_a_mesh_are_told_where_it_lies() -> None:
    """Two images of two faces; of the second image's faces only the later has a mesh."""
    meshes = [torch.full((2, NUM_VERTICES, 3), 10.0), torch.full((2, NUM_VERTICES, 3), torch.nan)]
    meshes[0][1], meshes[1][1] = 50.0, 30.0
    matches = [Matches(torch.tensor([BACKGROUND, 1, 0])), Matches(torch.tensor([0, IGNORED, 1]))]
    anchors = torch.tensor([20.0, 10, 10, 20]).expand(2, 3, 4)
    images, rows, wanted = select_mesh_targets(matches, meshes, anchors)
    assert (images.tolist(), rows.tolist()) == ([0, 0, 1], [1, 2, 2])
    # (50 - 20) / 10, (50 - 10) / 20, and every vertex is as deep as the tip of the nose.
    assert wanted[:, 0].tolist() == [[3, 2, 0], [-1, 0, 0], [1, 1, 0]]


def test_the_68_points_count_beside_the_whole_mesh() -> None:
    wanted = torch.randn(2, NUM_VERTICES, 3)
    right = torch.cat([wanted, wanted[:, list(POINTS_68)]], dim=1)
    assert mesh_and_landmarks_loss(right, wanted).item() == 0
    right[:, NUM_VERTICES:, 1] += 0.25  # a shift leaves the edges
    assert mesh_and_landmarks_loss(right, wanted).item() == pytest.approx(0.25, rel=1e-4)


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
