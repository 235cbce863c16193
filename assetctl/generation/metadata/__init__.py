"""What pictures say of themselves: written into ours, and read out of anyone's."""

from assetctl.generation.metadata.parameters import PictureParameters, UsedAsset
from assetctl.generation.metadata.writing import infotext, read_png_record, record, save_png

__all__ = ["PictureParameters", "UsedAsset", "infotext", "read_png_record", "record", "save_png"]
