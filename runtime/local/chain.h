/* The chain on one machine: the shipped function binaries as processes, the carrier between them, and the platform that runs
 * the services. This is what `pushwright up` starts; everything ends with the process, whatever ends it. */
#ifndef PUSHWRIGHT_RUNTIME_LOCAL_CHAIN_H
#define PUSHWRIGHT_RUNTIME_LOCAL_CHAIN_H

#include "runtime/local/carrier.h"

struct chain;

struct chain_options {
    const char *config_path;
    const char *state_dir;   /* made when missing; everything that must survive stands here */
    const char *program_dir; /* where the function binaries are */
    const char *listen;      /* of the functions that face the outside: "127.0.0.1:8787" */
    long reconcile_s;        /* period of the timer that lets the functions look for what was lost; 0: none */
    void (*notice)(void *context, const struct carrier_notice *notice);
    void (*say)(void *context, const char *text); /* a process died, a service was restarted, ... */
    void *context;
};

/* Checks the configuration, takes the state directory (ERROR_CONFLICT when another chain has it), starts everything and waits until the
 * functions answer. Options are borrowed until freed. */
struct chain *chain_new(const struct chain_options *options, struct error *err);

/* Stop taking requests, finish what runs, stop functions and services. */
void chain_free(struct chain *chain);
AUTO_FREE(struct chain, chain_free)

#endif
