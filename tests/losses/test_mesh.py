import pytest
import torch

from onelook.geometry.mesh import NUM_VERTICES, POINTS_68
from onelook.losses.detection import BACKGROUND, IGNORED, Matches
from onelook.losses.mesh import encode_mesh_targets, mask_labeled, mesh_and_landmarks_loss, mesh_loss

EDGES = torch.tensor([[0, 1], [1, 2]])


def test_a_moved_vertex_by_hand() -> None:
    """The target has edges of 3 and 4; the last predicted vertex is moved by (0, 0, 3), so its edge is 5 long."""
    target = torch.tensor([[[0.0, 0, 0], [3, 0, 0], [3, 4, 0]]])
    predicted = target.clone()
    predicted[0, 2, 2] = 3.0
    # Vertices: (0 + 0 + 3) / 3. Edges: (0 + 1) / 2.
    assert mesh_loss(predicted, target, EDGES, 1.0, torch.ones(1, dtype=torch.bool)).item() == pytest.approx(1.5)
    assert mesh_loss(predicted, target, EDGES, 0.0, torch.ones(1, dtype=torch.bool)).item() == pytest.approx(1.0)


def test_a_shifted_mesh_has_no_edge_loss() -> None:
    target = torch.randn(4, 3, 3)
    assert mesh_loss(target + 0.5, target, EDGES, 100.0, torch.ones(4, dtype=torch.bool)).item() == pytest.approx(
        1.5, abs=1e-3
    )


def test_the_loss_is_zero_without_a_face() -> None:
    predicted = torch.randn(0, 3, 3, requires_grad=True)
    loss = mesh_loss(predicted, torch.zeros(0, 3, 3), EDGES, 1.0, torch.ones(0, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0 and predicted.grad is not None


def test_rows_that_are_not_valid_have_no_loss_and_no_gradient() -> None:
    predicted = torch.randn(3, 3, 3, requires_grad=True)
    target = torch.randn(3, 3, 3)
    target[1] = torch.nan
    valid = torch.tensor([True, False, True])
    loss = mesh_loss(predicted, target, EDGES, 1.0, valid)
    loss.backward()
    expected = mesh_loss(predicted[valid], target[valid], EDGES, 1.0, valid[valid])
    torch.testing.assert_close(loss, expected)
    assert predicted.grad is not None and predicted.grad.isfinite().all() and not predicted.grad[1].any()


def test_targets_are_those_of_positive_anchors_of_faces_with_a_mesh() -> None:
    """Two images of two faces; in the second image only the later face has a mesh."""
    meshes = torch.stack([torch.full((2, NUM_VERTICES, 3), 10.0), torch.full((2, NUM_VERTICES, 3), torch.nan)])
    meshes[0, 1], meshes[1, 1] = 50.0, 30.0
    matches = Matches(torch.tensor([[BACKGROUND, 1, 0], [0, IGNORED, 1]]))
    anchors = torch.tensor([20.0, 10, 10, 20]).expand(2, 3, 4)
    images, rows = mask_labeled(matches, meshes).nonzero(as_tuple=True)
    assert (images.tolist(), rows.tolist()) == ([0, 0, 1], [1, 2, 2])
    target = encode_mesh_targets(matches, meshes, anchors, images, rows)
    # (50 - 20) / 10, (50 - 10) / 20; every vertex is as deep as the tip of the nose.
    assert target[:, 0].tolist() == [[3, 2, 0], [-1, 0, 0], [1, 1, 0]]


def test_the_68_landmarks_have_a_loss_of_their_own() -> None:
    target = torch.randn(2, NUM_VERTICES, 3)
    predicted = torch.cat([target, target[:, list(POINTS_68)]], dim=1)
    assert mesh_and_landmarks_loss(predicted, target, torch.ones(2, dtype=torch.bool)).item() == 0
    predicted[:, NUM_VERTICES:, 1] += 0.25  # a shift leaves the edges unchanged
    assert mesh_and_landmarks_loss(predicted, target, torch.ones(2, dtype=torch.bool)).item() == pytest.approx(
        0.25, rel=1e-4
    )


def test_the_gradient_is_finite_where_vertices_coincide() -> None:
    predicted = torch.zeros(1, 3, 3, requires_grad=True)
    mesh_loss(predicted, torch.ones(1, 3, 3), EDGES, 1.0, torch.ones(1, dtype=torch.bool)).backward()
    assert predicted.grad is not None and predicted.grad.isfinite().all()


def test_the_gradient_is_that_of_the_formula_of_the_paper() -> None:
    torch.manual_seed(0)
    predicted = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    target = torch.randn(2, 3, 3, dtype=torch.float64)

    def formula(x: torch.Tensor) -> torch.Tensor:
        vertices = (x - target).abs().sum(-1).mean()
        lengths = [(y[:, EDGES[:, 0]] - y[:, EDGES[:, 1]]).norm(dim=-1) for y in (x, target)]
        return vertices + (lengths[0] - lengths[1]).abs().mean()

    assert torch.autograd.gradcheck(formula, (predicted,))
    expected = torch.autograd.grad(formula(predicted), predicted)[0]
    float32 = predicted.detach().float().requires_grad_()
    gradient = torch.autograd.grad(
        mesh_loss(float32, target.float(), EDGES, 1.0, torch.ones(2, dtype=torch.bool)), float32
    )[0]
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-4, atol=1e-5)
