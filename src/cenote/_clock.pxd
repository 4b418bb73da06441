# cython: language_level=3
# The clock of `time.monotonic`, without a call into Python and without a float object.

cdef extern from *:
    """
    #include <time.h>

    #ifdef __APPLE__  /* the clock that time.monotonic reads */
    #define CENOTE_CLOCK CLOCK_UPTIME_RAW
    #else
    #define CENOTE_CLOCK CLOCK_MONOTONIC
    #endif

    static inline double cenote_monotonic(void) {
        struct timespec t;
        clock_gettime(CENOTE_CLOCK, &t);
        return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
    }
    """
    double monotonic "cenote_monotonic"() nogil
