import copy

import pytest
import torch
from torch import nn

from onelook.training.sync_batch_norm import SyncBatchNorm, convert_sync_batch_norm


@pytest.mark.parametrize(("kind", "shape"), [(nn.BatchNorm1d, (5, 3)), (nn.BatchNorm2d, (4, 3, 2, 5))])
def test_one_process_has_the_values_of_torch_batch_norm(kind: type[nn.Module], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    reference = nn.Sequential(kind(3))
    nn.init.normal_(reference[0].weight)
    converted = copy.deepcopy(reference)
    convert_sync_batch_norm(converted)
    assert isinstance(converted[0], SyncBatchNorm) and list(converted.state_dict()) == list(reference.state_dict())
    for mode in (True, True, False):
        rows = torch.randn(shape)
        torch.testing.assert_close(converted.train(mode)(rows), reference.train(mode)(rows))
    for name, value in reference.state_dict().items():
        torch.testing.assert_close(converted.state_dict()[name], value)
