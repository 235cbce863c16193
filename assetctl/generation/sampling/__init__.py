"""Samplers, schedules and noise as A1111 and ComfyUI have them: torch and functions alone.

`programs.course` decides how a picture is sampled; the rest are its parts, which stand alone: a sampler is a function
of `(denoise, x, sigmas, noise, on_step, tuning)`.
"""
