"""What A1111's clients may say: the fields of `txt2img` and the settings of `options`, as tables of what each does."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

from assetctl.errors import UnusableError, UsageError
from assetctl.options import MAX_SEED, RANDOM
from assetctl.request import MAX_COUNT
from assetctl.samplers import told_apart
from assetctl.server.endpoints import PROMPT, TEXT, check_value
from assetctl.server.requests import job_of
from assetctl.server.safety import LARGEST_BODY
from assetctl.server.waiting import Fields, about, not_yet, option_of, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assetctl.server.endpoints import Schema

_TEXT: Schema = TEXT | {"type": ["string", "null"]}
_PROMPT: Schema = PROMPT | _TEXT
_NUMBER: Schema = {"type": ["number", "null"]}
_FLAG: Schema = {"type": ["boolean", "null"]}
_LIST: Schema = {"type": ["array", "null"]}
_OBJECT: Schema = {"type": ["object", "null"]}

#: What is passed over, or refused by its name, whatever it is.
_ANY: Schema = {"maxLength": LARGEST_BODY, "items": {"maxLength": LARGEST_BODY}}


class _Obeyed(NamedTuple):
    """A field or a setting that is an option of a picture.

    Attributes:
        option: Which.
        usual: What A1111 takes where nothing is said; `None` for what is usual here.
        idle: Values with which nothing is asked for.
    """

    option: str
    usual: Any = None
    idle: tuple[Any, ...] = ()


#: Fields of `txt2img` that are obeyed one by one.
_OBEYED: Mapping[str, _Obeyed] = {
    "steps": _Obeyed("steps", 50),
    "cfg_scale": _Obeyed("cfg_scale", 7.0),
    "width": _Obeyed("width", 512),
    "height": _Obeyed("height", 512),
    "eta": _Obeyed("eta"),
    "clip_skip": _Obeyed("clip_skip", idle=(0,)),  # SD.Next's
    "s_churn": _Obeyed("s_churn", idle=(0,)),
    "s_tmin": _Obeyed("s_tmin", idle=(0,)),
    "s_tmax": _Obeyed("s_tmax", idle=(0,)),
    "s_noise": _Obeyed("s_noise", idle=(1,)),
    "subseed_strength": _Obeyed("variation_strength", idle=(0,)),
    "seed_resize_from_w": _Obeyed("resize_seed_width", idle=(0, -1)),
    "seed_resize_from_h": _Obeyed("resize_seed_height", idle=(0, -1)),
}  # fmt: skip

#: Fields that ask for what cannot be done, unless they have one of these values.
_NOT_YET: Mapping[str, tuple[Any, ...]] = {
    "restore_faces": (False, 0), "tiling": (False, 0), "enable_hr": (False, 0), "styles": ([], [""], ["None"]),
    "refiner_checkpoint": ("", "None"), "script_name": ("", "None"), "s_min_uncond": (0,), "firstpass_image": ("",),
    "init_images": ([],), "mask": ("",), "infotext": ("",), "disable_extra_networks": (False, 0),
    "controlnet_units": ([],),
}  # fmt: skip

#: Fields that change no picture without one of those, or say what is done with pictures when they are made.
_HARMLESS = (
    "denoising_strength", "do_not_save_samples", "do_not_save_grid", "refiner_switch_at", "comments",
    "firstphase_width", "firstphase_height", "hr_scale", "hr_upscaler", "hr_second_pass_steps", "hr_resize_x",
    "hr_resize_y", "hr_checkpoint_name", "hr_sampler_name", "hr_scheduler", "hr_prompt", "hr_negative_prompt",
    "script_args", "force_task_id", "save_images",
)  # fmt: skip

#: Fields that are numbers.
_NUMBERS = ("seed", "subseed", "batch_size", "n_iter", *_OBEYED)

#: A number that is written as a text.
_WRITTEN = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")

#: All fields of `txt2img`.
TXT2IMG: Mapping[str, Schema] = {
    **dict.fromkeys(("prompt", "negative_prompt"), _PROMPT),
    **dict.fromkeys(("sampler_name", "sampler_index", "scheduler"), _TEXT),
    **dict.fromkeys(_NUMBERS, _NUMBER),
    **dict.fromkeys(("send_images", "override_settings_restore_afterwards"), _FLAG),
    **dict.fromkeys(("override_settings", "alwayson_scripts"), _OBJECT),
    **dict.fromkeys((*_NOT_YET, *_HARMLESS), _ANY),
}  # fmt: skip

#: Settings that are obeyed, with A1111's usual value of each.
_SETTINGS: Mapping[str, _Obeyed] = {
    "CLIP_stop_at_last_layers": _Obeyed("clip_skip", 1, (0,)),
    "eta_noise_seed_delta": _Obeyed("ensd", 0),
    "randn_source": _Obeyed("noise", "GPU"),
    "emphasis": _Obeyed("emphasis", "Original"),
    "s_churn": _Obeyed("s_churn", 0.0),
    "s_tmin": _Obeyed("s_tmin", 0.0),
    "s_tmax": _Obeyed("s_tmax", 0.0),
    "s_noise": _Obeyed("s_noise", 1.0),
    "always_discard_next_to_last_sigma": _Obeyed("discard_penultimate", False),
    "sgm_noise_multiplier": _Obeyed("sgm_noise", False),
    "pad_cond_uncond": _Obeyed("pad_prompts", False),
    "use_old_scheduling": _Obeyed("old_editing", False),
    "use_downcasted_alpha_bar": _Obeyed("half_levels", False),
}  # fmt: skip

#: What options are called here.
FIELDS = {each.option: name for name, each in (*_SETTINGS.items(), *_OBEYED.items())}

#: Settings that would change pictures, and cannot be anything but what they usually are.
_FIXED: Mapping[str, tuple[Any, ...]] = {
    "samples_format": ("png",), "eta_ancestral": (1, None), "eta_ddim": (0, None), "s_min_uncond": (0,),
    "sd_hypernetwork": ("None", "", None), "sd_lora": ("None", "", None), "sd_model_refiner": ("None", "", None),
    "tiling": (False,), "face_restoration": (False,), "enable_quantization": (False,), "enable_emphasis": (True,),
    "use_old_emphasis_implementation": (False,), "use_old_karras_scheduler_sigmas": (False,),
    "no_dpmpp_sde_batch_determinism": (False,), "comma_padding_backtrack": (20,), "token_merging_ratio": (0,),
    "sd_noise_schedule": ("Default",), "skip_early_cond": (0,), "upcast_attn": (False,), "rho": (0,),
    "sigma_min": (0,), "sigma_max": (0,), "k_sched_type": ("Automatic",), "uni_pc_variant": ("bh1",),
    "uni_pc_skip_type": ("time_uniform",), "uni_pc_order": (3,), "uni_pc_lower_order_final": (True,),
    "beta_dist_alpha": (0.6,), "beta_dist_beta": (0.6,), "forge_additional_modules": ([], None),
    "sd_vae_decode_method": ("Full",), "fp8_storage": ("Disable",), "sdxl_crop_top": (0,), "sdxl_crop_left": (0,),
    "sd_unet": ("Automatic", "None", None), "enable_batch_seeds": (True,), "sdxl_clip_l_skip": (False,),
    "sd3_enable_t5": (False,), "s_min_uncond_all": (False,), "pad_cond_uncond_v0": (False,),
    "dont_fix_second_order_samplers_schedule": (False,), "lora_functional": (False,), "ddim_discretize": ("uniform",),
    "forge_unet_storage_dtype": ("Automatic",), "forge_try_reproduce": ("None",),
}  # fmt: skip

#: Settings of which assets are used.
CHOICES = ("sd_model_checkpoint", "sd_vae")

#: Settings that change no picture: what is kept, shown, written, loaded when; and what img2img and upscaling do.
_SHOWN = re.compile(
    r"(?:save_|grid_|return_|send_|do_not_|show_|live_preview|ui_|outdir_|directories_|img2img_|txt2img_|inpainting_|"
    r"hires_|upscal|ESRGAN_|DAT_|dat_|realesrgan_|SWIN_|ldsr_|postprocessing_|interrogate_|deepbooru_|export_|font|"
    r"hidden_|hide_|disabled?_|extra_networks_|extra_options_|sd_checkpoints?_|sd_vae_|memmon_|jpeg_|webp_|samples_|"
    r"n_rows|notification_|quicksettings|gallery|gradio_|canvas_|keyedit_|samplers_in_|tab|js_|localization|list_|"
    r"lora_(?:show|preferred|hide|add|bundled|filename|in_memory|not_found)|add_|infotext|stealth_|api_|profiling_|"
    r"print_|multiple_tqdm|enable_(?:pnginfo|console|upscale)|face_restoration_(?:model|unload)|code_former_weight|"
    r"filename|target_side|img_(?:downscale|max)_|progressbar|auto_|compact_|dimensions_|open_dir|clip_models|"
    r"training_|unload_|pin_memory|dataset_|dump_|settings_in_ui|textual_inversion_(?:print|add|write)|initial_noise|"
    r"overlay_inpaint|cross_att|persistent_|batch_cond_uncond|cache_fp16|token_merging_ratio_(?:img2img|hr)|"
    r"(?:sdxl_)?refiner_|use_(?:original_name|upscaler_name|save_to_dirs|old_hires_fix)|set_scale_by|temp_dir|"
    r"clean_temp_dir|concurrent_|interrupt_after|include_styles|prevent_screen|restore_config|prioritized_callbacks_|"
    r"forge_(?:preset|inference_memory|async_loading|pin_shared_memory)|image_browser|control_?net_).*"
)  # fmt: skip


class Txt2Img(Fields):
    """`txt2img`, which takes numbers that are written as texts, as A1111 does."""

    def fields_of(self, data: bytes | bytearray) -> dict[str, Any]:
        """What the body says, before it is checked."""
        fields = super().fields_of(data)
        return {name: _number(value) if name in _NUMBERS else value for name, value in fields.items()}


def _number(value: object) -> object:
    if not isinstance(value, str) or not _WRITTEN.fullmatch(value):
        return value
    return float(value) if "." in value else int(value)


def settings_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a picture that settings are.

    Raises:
        UsageError: A value makes no sense.
        UnusableError: One would change pictures, and is not obeyed.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name in _SETTINGS:
            if value is not None and value not in _SETTINGS[name].idle:
                found[_SETTINGS[name].option] = option_of(_SETTINGS[name].option, value, name)
        elif name in CHOICES:
            with about(name):
                check_value(value, _TEXT, name)
        elif name in _FIXED:
            if not _is_one_of(value, _FIXED[name]):
                with about(name):
                    usual = f"It is {_FIXED[name][0]!r} here."
                    raise UnusableError(f"The setting {name} cannot be {value!r:.60} yet.", usual)
        elif not _SHOWN.fullmatch(name):
            with about(name):
                raise UnusableError(f"assetctl has no setting {name!r:.60}.", "Leave it out.")
    return found


def kept(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings that are told again by who is asked for them, and hold for pictures."""
    return {name: value for name, value in given.items() if name in (*_SETTINGS, *CHOICES, "live_previews_enable")}


def usual_settings() -> dict[str, Any]:
    """Settings that somebody may read, as they are unless somebody chose others."""
    fixed = {name: values[0] for name, values in _FIXED.items() if not name.startswith("forge_")}
    return {name: each.usual for name, each in _SETTINGS.items()} | fixed | {
        "sd_vae": "Automatic", "live_previews_enable": True,
    }  # fmt: skip


def job_said(body: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The job that a body of `txt2img` asks for.

    Args:
        body: Its fields.
        chosen: What its settings and the server's come to, as options, with the checkpoint and the VAE.

    Raises:
        UsageError: A field makes no sense.
        UnusableError: One asks for what cannot be done.
    """
    for name, idle in _NOT_YET.items():
        if body.get(name) is not None and not _is_one_of(body[name], idle):
            raise not_yet(f"{name}")
    for name, script in (body.get("alwayson_scripts") or {}).items():
        if not _is_idle(script):
            with about("alwayson_scripts"):
                raise UnusableError(f"assetctl has no script {name!r:.60}.", "Leave it out of alwayson_scripts.")
    wanted: dict[str, Any] = {
        "prompt": body.get("prompt") or "", "negative_prompt": body.get("negative_prompt") or "",
        "flavour": "a1111", **chosen, **_options(body),
    }  # fmt: skip
    return _counted(body, wanted)


def _options(body: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, obeyed in _OBEYED.items():
        value = obeyed.usual if body.get(name) is None else body[name]
        if value is not None and value not in obeyed.idle:
            found[obeyed.option] = option_of(obeyed.option, value, name)
    field = "sampler_name" if body.get("sampler_name") else "sampler_index"
    found["sampler"] = option_of("sampler", body.get(field) or "Euler", field)
    if body.get("scheduler"):  # which counts in the place of a schedule in the sampler's name, even as Automatic
        found["scheduler"] = option_of("scheduler", body["scheduler"], "scheduler")
        found["sampler"] = told_apart(found["sampler"])[0]
    return found


def _counted(body: Mapping[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Likewise, with the seeds of its pictures: each counts on from the first, or its variation does."""
    count = _count(body, "batch_size") * _count(body, "n_iter")
    if count > MAX_COUNT:
        with about(max("batch_size", "n_iter", key=lambda name: _count(body, name))):
            raise UsageError(f"batch_size times n_iter is {count}.", f"At most {MAX_COUNT} pictures at a time.")
    seed = body.get("seed")
    if seed is not None:
        seed = option_of("seed", seed, "seed")
    if not wanted.get("variation_strength"):
        return job_of({**wanted, "num_images": count, **({} if seed in (None, RANDOM) else {"seed": seed})})
    (first,) = job_of({**wanted, **({} if seed in (None, RANDOM) else {"seed": seed})})["seeds"]
    subseed = whole(body.get("subseed"))
    if subseed in (None, RANDOM):
        subseed = secrets.randbelow(MAX_SEED - MAX_COUNT)
    variations = [option_of("variation_seed", subseed + each, "subseed") for each in range(count)]
    return {**job_of({**wanted, "variation_seed": variations[0], "seed": first}), "seeds": [first] * count,
            "variation_seeds": variations}  # fmt: skip


def _count(body: Mapping[str, Any], name: str) -> int:
    count = whole(1 if body.get(name) is None else body[name])
    if not isinstance(count, int) or count < 1:
        with about(name):
            raise UsageError(f"{name} must be a whole number from 1 on.", "Leave it out for one picture.")
    return min(count, 10**6)


def _is_one_of(value: object, values: tuple[Any, ...]) -> bool:
    """Whether a value is one of these; 0 is no `False`."""
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in values)


def _is_idle(script: object) -> bool:
    """Whether an extension's script is named without being asked for anything, as many clients do for all they know."""
    if isinstance(script, dict) and "args" in script:
        script = script["args"]
    if isinstance(script, dict):
        flags = ("enabled", "enable", "ad_enable", "ad_tab_enable")
        return not script or script.get("ad_model") == "None" or any(script.get(name) is False for name in flags)
    if isinstance(script, list):
        units = [each for each in script if isinstance(each, dict) and "ad_model" in each]  # behind ADetailer's flags
        return not script or script[0] is False or all(map(_is_idle, units or script))
    return not script or script == "None"
