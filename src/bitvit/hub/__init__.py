"""Files on the Hugging Face Hub, by their addresses ``hf://user/name``.

``huggingface_hub`` does the work (``pip install 'bitvit[hub]'``): its cache, its tokens, and its environment variables
such as ``HF_HOME``, ``HF_TOKEN``, ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE``.
"""

from bitvit.hub.address import FILE_NAME, HubAddress, is_hub_address
from bitvit.hub.download import download
from bitvit.hub.errors import HubError, explained

__all__ = ["FILE_NAME", "HubAddress", "HubError", "download", "explained", "is_hub_address"]
