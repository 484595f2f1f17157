sedge import log.csv -o shop --time-min 2014-13-01
