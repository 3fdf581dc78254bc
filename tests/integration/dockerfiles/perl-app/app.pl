use strict;
use warnings;
open(my $checked, '<', '/usr/src/checked') or die $!;
print "app in $ENV{APP_ENV}: ", <$checked>;
