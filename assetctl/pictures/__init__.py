"""What pictures say of themselves: written into ours, and read out of anyone's."""

from assetctl.pictures.parameters import PictureParameters, UsedAsset
from assetctl.pictures.reading import parse_infotext, read_parameters, read_record
from assetctl.pictures.saving import infotext, picture_record, save_picture, software

__all__ = [
    "PictureParameters",
    "UsedAsset",
    "infotext",
    "parse_infotext",
    "picture_record",
    "read_parameters",
    "read_record",
    "save_picture",
    "software",
]
