import torch

from helpers.domes import colored_dome
from onelook.geometry.anchors import LIGHT_LEVELS
from onelook.geometry.mesh import NUM_SHAPE_PARAMETERS, NUM_VERTICES, VERTEX_CHANNELS, mesh_to_landmarks
from onelook.losses.dense import pixel_loss
from onelook.model.dense_head import DenseFaces, DenseHead, crop_boxes, render_boxes, round_boxes

NUMBERS = 128 + 7 + 9
FOCAL, AMBIENT = 128 + 6, slice(128 + 7 + 6, 128 + 7 + 9)
TURNS = slice(128 + 3, 128 + 6)


def with_dome() -> DenseHead:
    """The first parameter makes the dome wider by a tenth, the second redder by a tenth."""
    head = DenseHead(4, LIGHT_LEVELS)
    mean = torch.from_numpy(colored_dome())
    components = torch.zeros(NUM_SHAPE_PARAMETERS, NUM_VERTICES, VERTEX_CHANNELS)
    components[0, :, 0], components[1, :, 3] = mean[:, 0], 1
    head.decoder.set_morphable_model(mean, components, torch.tensor([0.1, 0.1] + [0.0] * 126))
    return head


def landmarks_of(faces: DenseFaces) -> torch.Tensor:
    return torch.from_numpy(mesh_to_landmarks(faces.vertices.detach().numpy()))


def where_it_stands(head: DenseHead) -> torch.Tensor:
    """Landmarks (1, 5, 2) that the mean face can meet exactly: its own, moved and scaled."""
    anywhere = torch.tensor([[[30.0, 40], [60, 42], [45, 60], [33, 75], [58, 76]]])
    return landmarks_of(head.decode(torch.zeros(1, NUMBERS), anywhere))


def test_untrained_it_tells_the_mean_face_on_the_landmarks() -> None:
    head = with_dome()
    wanted = where_it_stands(head) * 1.5 + 7
    features = [torch.randn(1, 4, 64 // level.stride, 64 // level.stride) for level in LIGHT_LEVELS]
    faces = head(features, torch.tensor([0]), torch.tensor([5]), wanted)
    torch.testing.assert_close(landmarks_of(faces), wanted, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(faces.colors[0], head.decoder.mean[:, 3:])


def test_numbers_by_hand() -> None:
    head = with_dome()
    stand = where_it_stands(head)
    numbers = torch.zeros(4, NUMBERS)
    numbers[1, 1] = 3.0  # redder by three tenths
    numbers[2, AMBIENT] = -5.0  # half the light
    numbers[3, FOCAL] = 1.0  # e^.1 times as large, about the camera's axis
    faces = head.decode(numbers, stand.expand(4, 5, 2))
    mean = head.decoder.mean
    torch.testing.assert_close(faces.colors[1] - mean[:, 3:], torch.tensor([0.3, 0, 0]).expand(NUM_VERTICES, 3))
    torch.testing.assert_close(faces.colors[2], mean[:, 3:] / 2)
    sizes = torch.from_numpy(faces.vertices.detach().numpy().std(1)[:, :2])
    torch.testing.assert_close(sizes[3] / sizes[0], torch.full((2,), 0.1).exp())


def test_a_known_face_is_found_again_from_its_picture() -> None:
    """Its width, redness, pose, size and light; only pixels are told."""
    torch.manual_seed(0)
    head = with_dome()
    stand = where_it_stands(head)
    square = torch.tensor([[12.0, 22.0, 78.0, 88.0]])
    truth = torch.zeros(1, NUMBERS)
    truth[0, :2] = torch.tensor([1.0, -1.5])
    truth[0, TURNS] = torch.tensor([1.0, -1.0, 0.5])
    truth[0, FOCAL], truth[0, AMBIENT] = 0.5, torch.tensor([-2.0, -1.0, 1.0])
    with torch.no_grad():
        real = render_boxes(head.decode(truth, stand), square, 32).images
    numbers = torch.zeros(1, NUMBERS, requires_grad=True)
    optimizer = torch.optim.Adam([numbers], lr=0.1)
    losses = []
    for step in range(40):
        optimizer.param_groups[0]["lr"] = 0.15 * (1 - step / 40)
        rendered = render_boxes(head.decode(numbers, stand), square, 32)
        loss = pixel_loss(rendered.images, rendered.mask, real)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.15 * losses[0]
    wanted = head.decode(truth, stand).vertices[..., :2]
    before, after = (
        (head.decode(each, stand).vertices[..., :2] - wanted).norm(dim=-1).mean()
        for each in (torch.zeros_like(numbers), numbers)
    )
    assert after < 0.5 * before


def test_boxes_become_whole_pixels_inside_the_photo() -> None:
    boxes = torch.tensor([[-3.0, 1.4, 7.6, 5.5], [9.9, 2.0, 30.0, 2.1], [40.0, 2.0, 50.0, 4.0]])
    assert round_boxes(boxes, 8, 12).tolist() == [[0, 1, 8, 6], [10, 2, 12, 3], [11, 2, 12, 4]]


def test_crops_are_the_means_of_the_pixels_they_shrink() -> None:
    photos = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    photos[1, :, 2:6, 4:6], photos[1, 0, 2:6, 6:8] = 255, 51
    crop = crop_boxes(photos, torch.tensor([1]), torch.tensor([[4.0, 2.0, 8.0, 6.0]]), 4)
    assert crop[0, 0, 0].tolist() == [1, 1, 1]
    torch.testing.assert_close(crop[0, 3, 3], torch.tensor([0.2, 0, 0]))
    # A quarter of the pixels lies in each of these, and antialiasing looks half a pixel farther.
    small = crop_boxes(photos, torch.tensor([0, 1]), torch.tensor([[4.0, 2.0, 8.0, 6.0]] * 2), 2)
    assert not small[0].any() and 0.8 < small[1, 0, 0, 1].item() <= 1
    assert crop_boxes(photos, torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4), 4).shape == (0, 4, 4, 3)


def test_a_face_and_a_photo_cut_by_one_box_lie_on_each_other() -> None:
    """The rendered face is painted into the photo at its place; cut out again it is what was rendered."""
    head = with_dome()
    faces = head.decode(torch.zeros(1, NUMBERS), where_it_stands(head))
    photo = render_boxes(faces, torch.tensor([[0.0, 0, 96, 96]]), 96).images.permute(0, 3, 1, 2) * 255
    box = torch.tensor([[20.0, 30.0, 68.0, 78.0]])
    with torch.no_grad():
        rendered = render_boxes(faces, box, 24)
        real = crop_boxes(photo, torch.tensor([0]), box, 24)
        shifted = crop_boxes(photo, torch.tensor([0]), box + 2, 24)
    assert pixel_loss(rendered.images, rendered.mask, real) < 0.03
    assert pixel_loss(rendered.images, rendered.mask, shifted) > 0.08
