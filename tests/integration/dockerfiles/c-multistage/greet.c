#include "greet.h"

#include <stdio.h>
#include <unistd.h>

void greet(const char *whom)
{
    printf("hello %s from %d:%d\n", whom, (int)getuid(), (int)getgid());
}
