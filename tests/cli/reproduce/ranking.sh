# figures of models that rank candidates: by question, with least and most
awk 'BEGIN { print "user,item,rating,time"; for (u = 1; u <= 40; u++) for (e = 0; e < 8; e++) printf "u%d,i%d,%d,%d\n", u, (u * 7 + e * 3) % 30, 1 + (u * e + u) % 5, u + e * 20 }' >log.csv
recipe() {
    cat >r.yaml <<Y
name: a
data: {files: [{path: log.csv}]}
train: {model: hstu-rank, options: {protocol: "ratio:0.3", dim: 8, dqk: 4, dv: 4, hidden: 8, length: 8, epochs: 1}}
expected: {ranking: {liked: {auc: {least: 0}, ne: {most: $1}}}}
Y
}
recipe 50
sedge reproduce r.yaml -o out -q --json | json expected/1/task
recipe 0.001
sedge reproduce r.yaml -o out -q | grep -c MISSED
recipe low
sedge reproduce r.yaml -o out -q
