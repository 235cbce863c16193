"""What pictures say of themselves: written into ours, and read out of anyone's."""

from assetctl.generation.metadata.infotexts import infotext
from assetctl.generation.metadata.parameters import PictureParameters, UsedAsset
from assetctl.generation.metadata.pictures import save_picture
from assetctl.generation.metadata.reading import parse_infotext, read_parameters, read_record
from assetctl.generation.metadata.records import record

__all__ = [
    "PictureParameters",
    "UsedAsset",
    "infotext",
    "parse_infotext",
    "read_parameters",
    "read_record",
    "record",
    "save_picture",
]
