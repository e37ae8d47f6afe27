import torch

from helpers.domes import colored_dome
from onelook.geometry.anchors import LIGHT_LEVELS
from onelook.geometry.mesh import NUM_SHAPE_PARAMETERS, NUM_VERTICES, VERTEX_CHANNELS, mesh_to_landmarks
from onelook.losses.dense import pixel_loss
from onelook.model.dense_head import DenseFaces, DenseHead, crop_boxes, render_boxes, round_boxes

PARAMETERS = 128 + 7 + 9
FOCAL_LENGTH, AMBIENT = 128 + 6, slice(128 + 7 + 6, 128 + 7 + 9)
ROTATION = slice(128 + 3, 128 + 6)


def make_head() -> DenseHead:
    """Return a head whose mean face is a dome; the first parameter makes it a tenth wider, the second redder."""
    head = DenseHead(4, LIGHT_LEVELS)
    mean = torch.from_numpy(colored_dome())
    components = torch.zeros(NUM_SHAPE_PARAMETERS, NUM_VERTICES, VERTEX_CHANNELS)
    components[0, :, 0], components[1, :, 3] = mean[:, 0], 1
    head.decoder.set_morphable_model(mean, components, torch.tensor([0.1, 0.1] + [0.0] * 126))
    return head


def landmarks_of(faces: DenseFaces) -> torch.Tensor:
    return torch.from_numpy(mesh_to_landmarks(faces.vertices.detach().numpy()))


def exact_landmarks(head: DenseHead) -> torch.Tensor:
    """Return landmarks (1, 5, 2) that the mean face fits exactly: its own, moved and scaled."""
    anywhere = torch.tensor([[[30.0, 40], [60, 42], [45, 60], [33, 75], [58, 76]]])
    return landmarks_of(head.decode(torch.zeros(1, PARAMETERS), anywhere))


def test_untrained_head_predicts_the_mean_face_aligned_to_the_landmarks() -> None:
    head = make_head()
    landmarks = exact_landmarks(head) * 1.5 + 7
    features = [torch.randn(1, 4, 64 // level.stride, 64 // level.stride) for level in LIGHT_LEVELS]
    faces = head(features, torch.tensor([0]), torch.tensor([5]), landmarks)
    torch.testing.assert_close(landmarks_of(faces), landmarks, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(faces.colors[0], head.decoder.mean[:, 3:])


def test_parameters_change_texture_light_and_camera() -> None:
    head = make_head()
    parameters = torch.zeros(4, PARAMETERS)
    parameters[1, 1] = 3.0  # redder by three tenths
    parameters[2, AMBIENT] = -5.0  # half the light
    parameters[3, FOCAL_LENGTH] = 1.0  # larger by e^.1, about the camera's axis
    faces = head.decode(parameters, exact_landmarks(head).expand(4, 5, 2))
    mean = head.decoder.mean
    torch.testing.assert_close(faces.colors[1] - mean[:, 3:], torch.tensor([0.3, 0, 0]).expand(NUM_VERTICES, 3))
    torch.testing.assert_close(faces.colors[2], mean[:, 3:] / 2)
    sizes = torch.from_numpy(faces.vertices.detach().numpy().std(1)[:, :2])
    torch.testing.assert_close(sizes[3] / sizes[0], torch.full((2,), 0.1).exp())


def test_parameters_are_recovered_from_a_rendering_by_the_pixel_loss() -> None:
    """Width, redness, rotation, focal length and light, by gradient descent."""
    torch.manual_seed(0)
    head = make_head()
    landmarks = exact_landmarks(head)
    square = torch.tensor([[12.0, 22.0, 78.0, 88.0]])
    truth = torch.zeros(1, PARAMETERS)
    truth[0, :2] = torch.tensor([1.0, -1.5])
    truth[0, ROTATION] = torch.tensor([1.0, -1.0, 0.5])
    truth[0, FOCAL_LENGTH], truth[0, AMBIENT] = 0.5, torch.tensor([-2.0, -1.0, 1.0])
    with torch.no_grad():
        target = render_boxes(head.decode(truth, landmarks), square, 32).images
    parameters = torch.zeros(1, PARAMETERS, requires_grad=True)
    optimizer = torch.optim.Adam([parameters], lr=0.1)
    losses = []
    for step in range(40):
        optimizer.param_groups[0]["lr"] = 0.15 * (1 - step / 40)
        rendered = render_boxes(head.decode(parameters, landmarks), square, 32)
        loss = pixel_loss(rendered.images, rendered.mask, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.15 * losses[0]
    expected = head.decode(truth, landmarks).vertices[..., :2]
    before, after = (
        (head.decode(each, landmarks).vertices[..., :2] - expected).norm(dim=-1).mean()
        for each in (torch.zeros_like(parameters), parameters)
    )
    assert after < 0.5 * before


def test_round_boxes_gives_whole_pixels_inside_the_image() -> None:
    boxes = torch.tensor([[-3.0, 1.4, 7.6, 5.5], [9.9, 2.0, 30.0, 2.1], [40.0, 2.0, 50.0, 4.0]])
    assert round_boxes(boxes, 8, 12).tolist() == [[0, 1, 8, 6], [10, 2, 12, 3], [11, 2, 12, 4]]


def test_crops_are_averages_of_the_pixels_they_shrink() -> None:
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    images[1, :, 2:6, 4:6], images[1, 0, 2:6, 6:8] = 255, 51
    crop = crop_boxes(images, torch.tensor([1]), torch.tensor([[4.0, 2.0, 8.0, 6.0]]), 4)
    assert crop[0, 0, 0].tolist() == [1, 1, 1]
    torch.testing.assert_close(crop[0, 3, 3], torch.tensor([0.2, 0, 0]))
    # Each pixel covers a quarter of the crop, and antialiasing reaches half a pixel farther.
    small = crop_boxes(images, torch.tensor([0, 1]), torch.tensor([[4.0, 2.0, 8.0, 6.0]] * 2), 2)
    assert not small[0].any() and 0.8 < small[1, 0, 0, 1].item() <= 1
    assert crop_boxes(images, torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4), 4).shape == (0, 4, 4, 3)


def test_rendering_and_crop_of_the_same_box_are_aligned() -> None:
    """A face is rendered into an image; the crop of a box equals the rendering of that box."""
    head = make_head()
    faces = head.decode(torch.zeros(1, PARAMETERS), exact_landmarks(head))
    image = render_boxes(faces, torch.tensor([[0.0, 0, 96, 96]]), 96).images.permute(0, 3, 1, 2) * 255
    box = torch.tensor([[20.0, 30.0, 68.0, 78.0]])
    with torch.no_grad():
        rendered = render_boxes(faces, box, 24)
        crop = crop_boxes(image, torch.tensor([0]), box, 24)
        shifted = crop_boxes(image, torch.tensor([0]), box + 2, 24)
    assert pixel_loss(rendered.images, rendered.mask, crop) < 0.03
    assert pixel_loss(rendered.images, rendered.mask, shifted) > 0.08
