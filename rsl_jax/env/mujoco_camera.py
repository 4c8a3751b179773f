"""Rendering of MuJoCo models, also on machines without a display."""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

from rsl_jax.env.extras import is_headless

_NO_OPENGL = (
    "MuJoCo found no OpenGL to draw with ({error}). On a machine without a display it draws through EGL: "
    "`apt-get install libegl1` (or a graphics driver) provides it. With `apt-get install libosmesa6` it draws on the "
    "CPU, if MUJOCO_GL=osmesa is set."
)


class MujocoCamera:
    """Renderer of the states of one MuJoCo model, from its first camera, or from the side where it has none."""

    def __init__(self, model: Any, *, height: int = 360, width: int = 480):
        """Set up; OpenGL is started with the first image, so that training never uses it.

        Args:
            model: a ``mujoco.MjModel``.
            height: of the images, in pixels.
            width: of the images, in pixels.
        """
        self._model = model
        self._rect = (0, 0, min(width, model.vis.global_.offwidth), min(height, model.vis.global_.offheight))
        self._drawing: tuple[Any, ...] | None = None

    def draw(self, **fields: Any) -> np.ndarray:
        """Render a state, uint8 ``[H, W, 3]``.

        Args:
            **fields: fields to set in ``mujoco.MjData`` (``qpos``, ``qvel``, ...).

        Raises:
            RuntimeError: if there is no OpenGL; says what to install.
        """
        mujoco = importlib.import_module("mujoco")
        if self._drawing is None:
            self._drawing = self._start(mujoco)
        gl_context, context, scene, camera, option = self._drawing
        data = mujoco.MjData(self._model)
        for name, value in fields.items():
            getattr(data, name)[:] = np.asarray(value)
        mujoco.mj_forward(self._model, data)
        gl_context.make_current()
        mujoco.mjv_updateScene(self._model, data, option, None, camera, mujoco.mjtCatBit.mjCAT_ALL.value, scene)
        rect = mujoco.MjrRect(*self._rect)
        picture = np.empty((rect.height, rect.width, 3), np.uint8)
        mujoco.mjr_render(rect, scene, context)
        mujoco.mjr_readPixels(picture, None, rect, context)
        return np.ascontiguousarray(np.flipud(picture))  # OpenGL counts rows from below

    def _start(self, mujoco: Any) -> tuple[Any, ...]:
        try:
            gl_context = _gl_context(mujoco)(*self._rect[2:])
            gl_context.make_current()
            context = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, context)
        except Exception as error:  # OpenGL's bindings raise as many kinds of errors as there are machines.
            raise RuntimeError(_NO_OPENGL.format(error=error)) from error
        camera = mujoco.MjvCamera()
        mujoco.mjv_defaultFreeCamera(self._model, camera)
        if self._model.ncam:
            camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
        return gl_context, context, mujoco.MjvScene(self._model, maxgeom=10_000), camera, mujoco.MjvOption()


def _gl_context(mujoco: Any) -> Any:
    """Return the class of OpenGL context: MUJOCO_GL's, else EGL where MuJoCo would look for a display in vain.

    MuJoCo itself reads MUJOCO_GL only once, when it is imported, which may be long before anything is rendered.
    """
    wanted = os.environ.get("MUJOCO_GL", "").strip().lower() or ("egl" if is_headless() else "")
    return importlib.import_module(f"mujoco.{wanted}").GLContext if wanted in ("egl", "osmesa") else mujoco.GLContext
