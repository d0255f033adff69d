/*
 * Named points at which tests kill or stop a process: LZI_POINT("set.published"). Nothing at all unless compiled with
 * LZI_POINTS, which only the test build of the library is.
 *
 *   LATZERO_POINT=<name>[:<n>[:stop]]  at the n-th time (default: first) the point is passed, the process gets SIGKILL,
 *                                      or SIGSTOP with ":stop"
 *   LATZERO_POINT_TRACE=<file>         each point's name is appended to the file when the process first passes it
 */
#ifndef LZI_BASE_POINT_H
#define LZI_BASE_POINT_H

#ifdef LZI_POINTS
#define LZI_POINT(name) lzi_point_hit(name)
#else
#define LZI_POINT(name) ((void)0)
#endif

enum {
	LZI_POINT_KILL, /* SIGKILL */
	LZI_POINT_STOP  /* SIGSTOP; the process goes on after SIGCONT */
};

void lzi_point_hit(const char *name);

/* Arms a point in this process instead of the environment: at the countdown-th hit (1 = the next) the action happens,
 * once. name == NULL: nothing is armed. Call it while no other thread is passing points. */
void lzi_point_arm(const char *name, unsigned countdown, int action);

#endif
