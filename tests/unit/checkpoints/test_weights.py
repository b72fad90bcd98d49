"""A segmentation network starts with the weights of a classification network."""

from __future__ import annotations

import pytest
import torch

from bitvit.checkpoints import CheckpointError, copy_backbone
from bitvit.models import create_model

PAIRS = [
    ("test_bhvit", "test_bhvit_fpn", 32),
    ("test_binaryvit", "test_binaryvit_fpn", 16),
    ("test_gsb_deit", "test_gsb_deit_fpn", 16),
    ("test_reactnet_resnet18", "test_reactnet_resnet18_fpn", 16),
]


@pytest.mark.parametrize(("source", "target", "side"), PAIRS)
def test_all_weights_of_the_backbone_are_taken(source: str, target: str, side: int) -> None:
    torch.manual_seed(0)
    classifier, network = create_model(source), create_model(target)
    decoder = {name: value.clone() for name, value in network.decoder.state_dict().items()}
    copy_backbone(classifier, network)
    given = set(map(float, (value.float().sum() for value in classifier.state_dict().values())))
    for name, value in network.backbone.state_dict().items():
        assert float(value.float().sum()) in given, name
    for name, value in network.decoder.state_dict().items():
        if "step" not in name:
            assert torch.equal(value, decoder[name]), name


@pytest.mark.parametrize(("source", "target", "side"), PAIRS)
def test_position_embeddings_are_resampled_for_another_size(source: str, target: str, side: int) -> None:
    torch.manual_seed(0)
    classifier, network = create_model(source), create_model(target, img_size=2 * side)
    with torch.no_grad():
        for name, value in classifier.named_parameters():
            if name.endswith(("position.embedding", "pos_embed")):
                value.fill_(0.25)
    copy_backbone(classifier, network)
    for name, value in network.named_parameters():
        if name.endswith(("position.embedding", "pos_embed")):
            torch.testing.assert_close(value.detach(), torch.full_like(value, 0.25), msg=name)
    network(torch.zeros(1, 3, 2 * side, 2 * side))


def test_another_backbone_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"model\.weights: .*not this backbone"):
        copy_backbone(create_model("test_binaryvit"), create_model("test_bhvit_fpn"))


def test_a_segmentation_network_hands_on_all_but_a_decoder_for_other_classes() -> None:
    torch.manual_seed(0)
    source, target = create_model("test_bhvit_fpn", num_classes=3), create_model("test_bhvit_fpn", num_classes=4)
    copy_backbone(source, target)
    same = source.state_dict()
    for name, value in target.state_dict().items():
        if name.startswith("backbone."):
            assert torch.equal(value, same[name])
    assert target.decoder.classifier.weight.shape[0] == 4
