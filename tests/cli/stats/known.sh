# counts that can be done by hand
cat >log.csv <<'END'
user,item,time
a,x,100
a,y,100
a,z,200
a,x,86500
b,y,100
b,x,200
b,w,300
c,x,50
END
sedge import csv log.csv -q -o log >/dev/null || exit 1
sedge stats log --json
sedge stats log
