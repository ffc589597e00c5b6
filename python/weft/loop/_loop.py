"""The event loop: `_core.Loop` in front, asyncio's own classes behind it for what is not native.

Scheduling, timers, descriptors and the turns themselves are C. Transports, servers, `sock_*`,
subprocesses, signals and executors are asyncio's code on top of them, inherited."""

from __future__ import annotations

import selectors
import sys
import threading
import weakref
from asyncio import base_events, events, log, unix_events
from typing import TYPE_CHECKING, Any

from .. import _core

_base: Any = base_events  # its private names are not in typeshed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping
    from typing import TypeVarTuple, Unpack

    _Ts = TypeVarTuple("_Ts")

    class _Inherited(unix_events._UnixSelectorEventLoop):
        """asyncio's loop, with what we use of its inside."""

        _ssock: Any
        _csock: Any
        _old_agen_hooks: Any
        slow_callback_duration: float
        _asyncgen_firstiter_hook: Any
        _asyncgen_finalizer_hook: Any

        def _check_running(self) -> None: ...
        def _make_self_pipe(self) -> None: ...
        def _close_self_pipe(self) -> None: ...
        def _set_coroutine_origin_tracking(self, enabled: bool) -> None: ...
        def _run_forever_setup(self) -> None: ...
        def _run_forever_cleanup(self) -> None: ...
else:
    _Inherited = unix_events._UnixSelectorEventLoop


class _Reactor:
    """What asyncio sees as `loop._selector`: enough for a transport's repr, and to close."""

    def __init__(self, loop: Loop) -> None:
        self._loop = weakref.ref(loop)

    def close(self) -> None:
        loop = self._loop()
        if loop is not None:
            loop._release()

    def get_key(self, fd: Any) -> selectors.SelectorKey:
        loop = self._loop()
        reader, writer = loop._watched(fd) if loop is not None else (None, None)
        mask = (selectors.EVENT_READ if reader else 0) | (selectors.EVENT_WRITE if writer else 0)
        if not mask:
            raise KeyError(f"{fd!r} is not registered")
        fileno = fd if isinstance(fd, int) else fd.fileno()
        return selectors.SelectorKey(fd, fileno, mask, (reader, writer))


class Loop(_core.Loop, _Inherited):  # type: ignore[misc]
    """An `asyncio.AbstractEventLoop` whose turns are C."""

    def __init__(self) -> None:
        # BaseSelectorEventLoop's would make a selector and a self-pipe; the reactor has both.
        base_events.BaseEventLoop.__init__(self)
        log.logger.debug("Using reactor: %s", self._poller())
        self._selector = _Reactor(self)
        self._transports: Mapping[int, Any] = weakref.WeakValueDictionary()
        self._signal_handlers: dict[int, Any] = {}
        self._unix_server_sockets: dict[Any, int] = {}
        self._ssock = self._csock = None
        self._old_agen_hooks = None

    # ---- running

    def run_forever(self) -> None:
        """Run until stop() is called."""
        self._check_closed()
        self._check_running()
        try:
            self._run_forever_setup()
            self._run_turns()
        finally:
            self._run_forever_cleanup()

    if sys.version_info < (3, 13):

        def _run_forever_setup(self) -> None:
            self._set_coroutine_origin_tracking(self._debug)
            self._old_agen_hooks = sys.get_asyncgen_hooks()
            self._thread_id = threading.get_ident()
            sys.set_asyncgen_hooks(
                firstiter=self._asyncgen_firstiter_hook,
                finalizer=self._asyncgen_finalizer_hook,
            )
            events._set_running_loop(self)

        def _run_forever_cleanup(self) -> None:
            self._stopping = False
            self._thread_id = None
            events._set_running_loop(None)
            self._set_coroutine_origin_tracking(False)
            if self._old_agen_hooks is not None:
                sys.set_asyncgen_hooks(*self._old_agen_hooks)
                self._old_agen_hooks = None

    def _close_self_pipe(self) -> None:
        if self._ssock is not None:
            super()._close_self_pipe()

    def _ran(self, handle: asyncio.Handle, seconds: float) -> None:
        if seconds >= self.slow_callback_duration:
            name = _base._format_handle(handle)
            _base.logger.warning("Executing %s took %.3f seconds", name, seconds)

    # ---- tasks

    _create_task_by_factory = _base.BaseEventLoop.create_task

    # ---- signals

    def add_signal_handler(
        self, sig: int, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts
    ) -> None:
        """Call back when the signal arrives; as asyncio, with set_wakeup_fd."""
        self._check_closed()
        if self._csock is None:
            self._make_self_pipe()
        super().add_signal_handler(sig, callback, *args)
