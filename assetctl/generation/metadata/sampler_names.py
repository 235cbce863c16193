"""Samplers by the names that A1111 prints, from those that ComfyUI and InvokeAI use.

Names: `KSampler.SAMPLERS` in `comfy/samplers.py` of https://github.com/comfyanonymous/ComfyUI, `SCHEDULER_MAP` in
`invokeai/backend/stable_diffusion/schedulers/schedulers.py` of https://github.com/invoke-ai/InvokeAI.
"""

from __future__ import annotations

_NAMES = {
    "euler": "Euler", "euler_ancestral": "Euler a", "euler_a": "Euler a", "heun": "Heun", "lms": "LMS",
    "dpm_2": "DPM2", "kdpm_2": "DPM2", "dpm_2_ancestral": "DPM2 a", "kdpm_2_a": "DPM2 a",
    "dpm_fast": "DPM fast", "dpm_adaptive": "DPM adaptive", "ddim": "DDIM", "pndm": "PLMS",
    "uni_pc": "UniPC", "unipc": "UniPC", "lcm": "LCM",
    "dpmpp_2s_ancestral": "DPM++ 2S a", "dpmpp_sde": "DPM++ SDE", "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE", "dpmpp_3m_sde": "DPM++ 3M SDE", "dpmpp_3m": "DPM++ 3M",
}  # fmt: skip

_SCHEDULES = {"karras": "Karras", "exponential": "Exponential"}


def a1111_name(name: str | None, schedule: str | None = None) -> str | None:
    """A sampler as A1111 prints it, its schedule included where that is not the usual one.

    InvokeAI marks Karras sigmas by `_k` (or `k_` in its old versions, for all of them). What A1111 does not have
    stays as it is written.
    """
    if name is None:
        return None
    plain = name.removeprefix("k_").removesuffix("_gpu")
    if plain.endswith("_k"):
        plain, schedule = plain.removesuffix("_k"), "karras"
    if plain not in _NAMES:
        return name
    return " ".join(filter(None, (_NAMES[plain], _SCHEDULES.get(schedule or ""))))
