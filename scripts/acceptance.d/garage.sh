# Garage, a real distributed store, by way of scripts/acceptance: builds it, then all is as in s3.sh.
. "$sources/scripts/acceptance.d/s3.sh"
