"""Short form of ``python -m tests.chaos.memory``: growth with every iteration or call shows after a few, too."""

import pytest

from tests.chaos.memory import calls, growth, runner


@pytest.mark.filterwarnings("ignore:Episodes end after")
@pytest.mark.parametrize("is_pure", [True, False])
def test_nothing_grows_and_nothing_is_compiled_again(is_pure, tmp_path):
    built = runner(tmp_path, is_pure=is_pure)
    for repeat, times in ((built.learn, 60), (calls(built), 8)):
        grown = growth(repeat, times)
        assert grown.objects <= 0
        assert grown.compiled == []
        assert grown.megabytes < 5
