#include "shared/base/gate.h"

#include "shared/base/clock.h"

bool gate_enter(struct gate *gate, int64_t pause_ms)
{
    if (pthread_mutex_trylock(&gate->lock) != 0)
        return false;
    if (gate->left_ms == 0 || clock_monotonic_ms() - gate->left_ms >= pause_ms)
        return true;
    pthread_mutex_unlock(&gate->lock);
    return false;
}

void gate_leave(struct gate *gate)
{
    gate->left_ms = clock_monotonic_ms();
    pthread_mutex_unlock(&gate->lock);
}
