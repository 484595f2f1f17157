# the encoder of another dataset again: an item of the same text has the same vector, whatever else is on sale there
printf 'user,item\nu,a\nu,b\nu,c\nu,d\n' >one.csv
printf 'user,item\nu,b\nu,e\nu,a\n' >two.csv
printf 'item,title\na,red dress\nb,blue dress\nc,red shoes\nd,green hat\n' >one.items.csv
printf 'item,title\na,red dress\nb,blue dress\ne,zzz\n' >two.items.csv
sedge import one.csv --item-text one.items.csv -o one -q >/dev/null || exit 1
sedge import two.csv --item-text two.items.csv -o two -q >/dev/null || exit 1
sedge embed two --encoder one
echo $?
sedge embed one --dim 8 -q >/dev/null || exit 1
sedge embed two --encoder one --json -q >report || exit 1
json items <report
json dim <report
{ # a stands first of four there, last of three here; the encoder keeps half precision
    tail -c 32 one/vectors.safetensors | head -c 8
    tail -c 8 two/vectors.safetensors
} | od -An -v -t f4 | awk '{ if (($1 - $3) ^ 2 + ($2 - $4) ^ 2 < 1e-4 && $1 ^ 2 + $2 ^ 2 > 0.1) print "the same vector"; else print }'
sedge embed two --encoder two
echo $?
sedge embed two --encoder one --dim 9
echo $?
test -e two/encoder.safetensors || echo "no encoder of its own"
