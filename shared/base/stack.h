/* The memory of a thread's stack. */
#ifndef PUSHWRIGHT_BASE_STACK_H
#define PUSHWRIGHT_BASE_STACK_H

/* Give back to the machine what calls that have returned have used below the caller, who will wait for long: of hundreds of threads that
 * wait it is most of the memory. What cannot be given back stays. */
void stack_give_back(void);

#endif
