<?php
echo 'php as ', posix_getuid(), ' in ', getcwd(), ' owned by ', fileowner('.'), "\n";
