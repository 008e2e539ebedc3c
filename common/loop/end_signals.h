/* SIGTERM and SIGINT at a program's end. */
#pragma once

/*
 * From here on they don't kill this process, whoever listens. libuv gives a signal back to the system when
 * its last handle for it closes, and a second SIGTERM at that moment would make a bad exit of an orderly end;
 * to block it then is not enough: other threads would take it. So two handles are kept that are never closed,
 * on a loop that never runs. The program's own handles hear both signals as before. Call it once, when these
 * are there: what comes before them should kill.
 */
void end_signals_hold(void);
