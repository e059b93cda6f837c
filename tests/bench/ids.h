/* The ids of the devices that bench_http makes, in the order it makes them: not that of keys. */
#pragma once

#include <stdint.h>
#include <stdio.h>

enum { BENCH_ID_MAX = 32 };

static inline void bench_id(uint32_t number, char id[BENCH_ID_MAX])
{
    (void)snprintf(id, BENCH_ID_MAX, "%08x-meter-%07u", number * 2654435761U, number);
}
